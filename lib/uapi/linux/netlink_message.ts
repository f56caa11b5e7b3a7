/**
 * Messages of rtnetlink: a header, a struct, and attributes, which can hold
 * attributes themselves.
 *
 * @module
 */

import { ifinfomsg, NLMSG_ALIGNTO, nlmsghdr, rtattr } from "./rtnetlink.ts";

/** An attribute of a message. */
export interface Attribute {
  /** What it is, `IFLA_*`. */
  readonly type: number;
  /** What it says. */
  readonly value: Uint8Array;
}

/** Two bits of an attribute's type say how it is written. */
const TYPE = 0x3fff;

/** A message about a network interface. */
export interface LinkMessage {
  /** `RTM_*`. */
  readonly type: number;
  /** `NLM_F_*` bits. */
  readonly flags?: number;
  /** Tells answers to different requests apart. */
  readonly sequence?: number;
  /** The interface's number; 0 where an attribute names it. */
  readonly index?: number;
  /** What is said of it. */
  readonly attributes?: readonly Uint8Array[];
}

/**
 * The bytes of an attribute, padded.
 *
 * @param type What it is.
 * @param parts What it says: bytes that follow each other, or attributes.
 */
export function attribute(
  type: number,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  const value = joined(parts);
  const rta_len = rtattr.size + value.length;
  const bytes = new Uint8Array(padded(rta_len));
  rtattr.encode(bytes, { rta_len, rta_type: type });
  bytes.set(value, rtattr.size);
  return bytes;
}

/**
 * The attributes in bytes, up to one that is not whole.
 *
 * @param bytes The bytes.
 */
export function attributesIn(bytes: Uint8Array): Attribute[] {
  const found: Attribute[] = [];
  for (let at = 0; at + rtattr.size <= bytes.length;) {
    const { rta_len, rta_type } = rtattr.decode(bytes, at);
    if (rta_len < rtattr.size || at + rta_len > bytes.length) break;
    const value = bytes.subarray(at + rtattr.size, at + rta_len);
    found.push({ type: rta_type & TYPE, value });
    at += padded(rta_len);
  }
  return found;
}

/**
 * What an attribute of a type says, or `undefined` where there is none.
 *
 * @param bytes The attributes.
 * @param type The type.
 */
export function attributeIn(
  bytes: Uint8Array,
  type: number,
): Uint8Array | undefined {
  return attributesIn(bytes).find((each) => each.type === type)?.value;
}

/** The bytes of a message about a network interface. */
export function linkMessage(
  { type, flags = 0, sequence = 0, index = 0, attributes = [] }: LinkMessage,
): Uint8Array {
  const body = [ifinfomsg.alloc({ ifi_index: index }), ...attributes];
  return message(type, flags, sequence, body);
}

/** The bytes of a message. */
export function message(
  type: number,
  flags: number,
  sequence: number,
  body: readonly Uint8Array[],
): Uint8Array {
  const payload = joined(body);
  const header = nlmsghdr.alloc({
    nlmsg_len: nlmsghdr.size + payload.length,
    nlmsg_type: type,
    nlmsg_flags: flags,
    nlmsg_seq: sequence,
  });
  return joined([header, payload]);
}

/** A number of 16 bits between network order and this machine's. */
export function swapped16(value: number): number {
  return (value & 0xff) << 8 | value >> 8;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(
    parts.reduce((length, part) => length + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function padded(length: number): number {
  return Math.ceil(length / NLMSG_ALIGNTO) * NLMSG_ALIGNTO;
}
