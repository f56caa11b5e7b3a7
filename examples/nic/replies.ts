/**
 * Answers to ARP and to ping, made in place out of the requests (RFC 826, RFC
 * 791, RFC 792).
 *
 * @module
 */

// In a frame
const TARGET = 0;
const SENDER = 6;
const TYPE = 12;
const HEADER = 14;
const TYPE_IP = 0x0800;
const TYPE_ARP = 0x0806;

// In an ARP packet, in the frame
const ARP_KINDS = 14;
const ARP_OPERATION = 20;
const ARP_SENDER = 22;
const ARP_SENDER_IP = 28;
const ARP_TARGET = 32;
const ARP_TARGET_IP = 38;
const ARP_END = 42;
const REQUEST = 1;
const REPLY = 2;

// In an IP packet, in the frame
const IP_LENGTH = 16;
const IP_FRAGMENT = 20;
const IP_TIME_TO_LIVE = 22;
const IP_PROTOCOL = 23;
const IP_CHECKSUM = 24;
const IP_SENDER = 26;
const IP_TARGET = 30;
const IP_END = 34;
const ICMP = 1;
const ECHO_REQUEST = 8;
const ECHO_HEADER = 8;

/** A host of the network: its addresses, of 6 and of 4 bytes. */
export interface Self {
  /** Its MAC address. */
  readonly mac: Uint8Array;
  /** Its IP address. */
  readonly ip: Uint8Array;
}

/**
 * Makes an answer out of a frame, where it is a question for us.
 *
 * @param frame Its bytes. They are changed only where it is one.
 * @param length How many they are.
 * @param self Who we are.
 * @returns Whether it is an answer now, as long as it was.
 */
export function answer(
  frame: Uint8Array,
  length: number,
  self: Self,
): boolean {
  const type = read16(frame, TYPE);
  if (type === TYPE_ARP) return answerArp(frame, length, self);
  return type === TYPE_IP && answerPing(frame, length, self);
}

/** Reads an address such as `10.0.0.1`. */
export function parseIp(text: string): Uint8Array {
  const parts = /^\d{1,3}(\.\d{1,3}){3}$/.test(text)
    ? text.split(".").map(Number)
    : [];
  if (parts.length === 4 && parts.every((part) => part < 256)) {
    return Uint8Array.from(parts);
  }
  throw new TypeError(`Cannot use "${text}": expected an IPv4 address`);
}

/** Writes a MAC address as `52:54:00:12:34:56`. */
export function formatMac(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function answerArp(
  frame: Uint8Array,
  length: number,
  { mac, ip }: Self,
): boolean {
  // Ethernet, IP, addresses of 6 and of 4 bytes
  const isIt = length >= ARP_END && read16(frame, ARP_KINDS) === 1 &&
    read16(frame, ARP_KINDS + 2) === TYPE_IP &&
    read16(frame, ARP_KINDS + 4) === 0x0604 &&
    read16(frame, ARP_OPERATION) === REQUEST &&
    isAt(frame, ARP_TARGET_IP, ip);
  if (!isIt) return false;
  copy(frame, ARP_SENDER, ARP_TARGET, 10);
  copy(frame, ARP_SENDER, TARGET, 6);
  frame.set(mac, ARP_SENDER);
  frame.set(mac, SENDER);
  frame.set(ip, ARP_SENDER_IP);
  write16(frame, ARP_OPERATION, REPLY);
  return true;
}

function answerPing(
  frame: Uint8Array,
  length: number,
  { mac, ip }: Self,
): boolean {
  const echo = HEADER + 4 * (frame[HEADER]! & 0xf);
  const isIt = length >= IP_END && frame[HEADER]! >>> 4 === 4 &&
    echo >= IP_END && frame[IP_PROTOCOL] === ICMP &&
    isAt(frame, IP_TARGET, ip) && isAt(frame, TARGET, mac) &&
    // all but "do not fragment"
    (read16(frame, IP_FRAGMENT) & 0xbfff) === 0 &&
    HEADER + read16(frame, IP_LENGTH) <= length &&
    echo + ECHO_HEADER <= HEADER + read16(frame, IP_LENGTH) &&
    frame[echo] === ECHO_REQUEST && frame[echo + 1] === 0;
  if (!isIt) return false;
  copy(frame, SENDER, TARGET, 6);
  frame.set(mac, SENDER);
  copy(frame, IP_SENDER, IP_TARGET, 4);
  frame.set(ip, IP_SENDER);
  frame[IP_TIME_TO_LIVE] = 64;
  write16(frame, IP_CHECKSUM, 0);
  write16(frame, IP_CHECKSUM, checksum(frame, HEADER, echo));
  frame[echo] = 0;
  // The sum of the rest is as it was, be it right or wrong.
  const sum = read16(frame, echo + 2) + (ECHO_REQUEST << 8);
  write16(frame, echo + 2, (sum & 0xffff) + (sum >>> 16));
  return true;
}

/** The Internet checksum of an even number of bytes (RFC 1071). */
function checksum(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let at = start; at < end; at += 2) sum += read16(bytes, at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function read16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function copy(
  bytes: Uint8Array,
  from: number,
  to: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) bytes[to + i] = bytes[from + i]!;
}

function isAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) {
    if (bytes[at + i] !== wanted[i]) return false;
  }
  return true;
}
