import type { Bar, DeviceKind, DeviceModel, DevicePort } from "../model.ts";
import { Cable, type CableEnd } from "./cable.ts";
import type { E1000eFaults } from "./faults.ts";

// Registers (Intel 82574 datasheet 3.4, chapter 10)
const CTRL = 0x0000;
const STATUS = 0x0008;
const ICR = 0x00c0;
const IMS = 0x00d0;
const IMC = 0x00d8;
const EIAC = 0x00dc;
const IVAR = 0x00e4;
const RCTL = 0x0100;
const TCTL = 0x0400;
const RECEIVE = 0x2800;
const TRANSMIT = 0x3800;
const ADDRESS_LOW = 0x5400;
// In a ring's registers
const BASE_LOW = 0x00;
const BASE_HIGH = 0x04;
const LENGTH = 0x08;
const HEAD = 0x10;
const TAIL = 0x18;

const CTRL_MASTER_DISABLE = 1 << 2;
const CTRL_RESET = 1 << 26;
/** Full duplex, linked, 1000 Mb/s, may be a master. */
const STATUS_UP = 1 << 0 | 1 << 1 | 2 << 6;
const STATUS_MASTER_ENABLED = 1 << 19;
const RCTL_ENABLE = 1 << 1;
const RCTL_ALL_UNICAST = 1 << 3;
const RCTL_ALL_MULTICAST = 1 << 4;
const RCTL_BROADCAST = 1 << 15;
const TCTL_ENABLE = 1 << 1;
const ADDRESSES = 16;
const ADDRESS_VALID = 0x8000_0000;

const DESCRIPTOR = 16;
const LAST = 1 << 24;
const REPORT = 1 << 27;
const DONE = 1;
const END = 2;
const CAUSE_RECEIVED = 1 << 20;

/** How a simulated network card is. */
export interface E1000eOptions {
  /**
   * What its port is connected with.
   *
   * @default {new Cable()}
   */
  readonly cable?: Cable;
  /**
   * Its MAC address, 6 bytes.
   *
   * @default {Uint8Array.of(0x52, 0x54, 0, 0, 0, 1)}
   */
  readonly address?: Uint8Array;
  /** What it does wrong. It can be changed while the card runs. */
  readonly faults?: E1000eFaults;
}

/**
 * Makes a kind of network cards: Intel's 82574 with its legacy descriptors and
 * one receive interrupt by MSI-X. It sends when its doorbell rings.
 *
 * @param options How they are.
 */
export function e1000e(options: E1000eOptions = {}): DeviceKind {
  return {
    name: "e1000e",
    id: "8086:10d3",
    class: 0x020000,
    resets: ["pm"],
    create: (port) => new Card(port, options),
  };
}

class Card implements DeviceModel, CableEnd {
  readonly msi = 0;
  readonly msix = 5;
  readonly intx = true;
  readonly bars: readonly (Bar | undefined)[];
  readonly #port: DevicePort;
  readonly #cable: Cable;
  readonly #faults: E1000eFaults;
  readonly #address: Uint8Array;
  readonly #registers = new Map<number, number>();

  constructor(port: DevicePort, options: E1000eOptions) {
    const { cable = new Cable(), faults = {} } = options;
    const { address = Uint8Array.of(0x52, 0x54, 0, 0, 0, 1) } = options;
    this.#port = port;
    this.#cable = cable;
    this.#faults = faults;
    this.#address = address;
    const bar = (size: number): Bar => ({
      size,
      mappable: true,
      read: (offset, width) => size > 2 ** 16 ? this.#read(offset, width) : 0n,
      write: (offset, _width, value) => {
        if (size > 2 ** 16) this.#write(offset, Number(value));
      },
    });
    // The last one is for the table of its vectors.
    this.bars = [bar(2 ** 17), undefined, undefined, bar(2 ** 14)];
    cable.connect(this);
    this.reset();
  }

  reset(): void {
    this.#registers.clear();
    const [a, b, c, d, e, f] = this.#address as unknown as number[];
    const low = a! | b! << 8 | c! << 16 | d! << 24;
    this.#registers.set(ADDRESS_LOW, low >>> 0);
    const high = e! | f! << 8;
    this.#registers.set(ADDRESS_LOW + 4, (high | ADDRESS_VALID) >>> 0);
  }

  receive(packet: Uint8Array): void {
    if (this.#faults.removed || !this.#accepts(packet)) return;
    const head = this.#register(RECEIVE + HEAD);
    const count = this.#register(RECEIVE + LENGTH) / DESCRIPTOR;
    if (count === 0 || head === this.#register(RECEIVE + TAIL)) return;
    const words = this.#load(RECEIVE, head);
    this.#port.dmaWrite(address(words), packet);
    words[2] = packet.length;
    words[3] = DONE | END;
    this.#writeBack(RECEIVE, head, words);
    this.#registers.set(RECEIVE + HEAD, (head + 1) % count);
    this.#interrupt(CAUSE_RECEIVED);
  }

  #read(offset: number, width: number): bigint {
    if (this.#faults.removed) return (1n << BigInt(8 * width)) - 1n;
    const value = this.#value(offset);
    return BigInt((this.#faults.onRead?.(offset, value) ?? value) >>> 0);
  }

  #value(offset: number): number {
    if (offset !== STATUS) return this.#register(offset);
    const isMaster = (this.#register(CTRL) & CTRL_MASTER_DISABLE) === 0;
    return STATUS_UP | (isMaster ? STATUS_MASTER_ENABLED : 0);
  }

  #write(offset: number, value: number): void {
    if (this.#faults.removed) return;
    switch (offset) {
      case CTRL:
        if ((value & CTRL_RESET) !== 0) this.reset();
        else this.#registers.set(CTRL, value);
        return;
      case IMS:
        this.#registers.set(IMS, (this.#register(IMS) | value) >>> 0);
        this.#interrupt(0);
        return;
      case IMC:
        this.#registers.set(IMS, (this.#register(IMS) & ~value) >>> 0);
        return;
      case TRANSMIT + TAIL:
        this.#registers.set(offset, value);
        this.#send();
        return;
      default:
        this.#registers.set(offset, value);
    }
  }

  /** Sends everything up to the doorbell. */
  #send(): void {
    if ((this.#register(TCTL) & TCTL_ENABLE) === 0) return;
    const count = this.#register(TRANSMIT + LENGTH) / DESCRIPTOR;
    const tail = this.#register(TRANSMIT + TAIL);
    const parts: Uint8Array[] = [];
    while (count > tail && this.#register(TRANSMIT + HEAD) !== tail) {
      const head = this.#register(TRANSMIT + HEAD);
      const words = this.#load(TRANSMIT, head);
      const part = new Uint8Array(words[2]! & 0xffff);
      this.#port.dmaRead(address(words), part);
      parts.push(part);
      if ((words[2]! & LAST) !== 0) {
        const packet = parts.splice(0).flatMap((part) => [...part]);
        this.#cable.send(this, Uint8Array.from(packet));
      }
      if ((words[2]! & REPORT) !== 0) {
        words[3] = words[3]! | DONE;
        this.#writeBack(TRANSMIT, head, words);
      }
      this.#registers.set(TRANSMIT + HEAD, (head + 1) % count);
    }
  }

  #load(ring: number, slot: number): Uint32Array {
    const words = new Uint32Array(DESCRIPTOR / 4);
    const at = this.#base(ring) + BigInt(slot * DESCRIPTOR);
    this.#port.dmaRead(at, new Uint8Array(words.buffer));
    return words;
  }

  #writeBack(ring: number, slot: number, words: Uint32Array): void {
    const name = ring === RECEIVE ? "receive" : "transmit";
    this.#faults.onDescriptor?.(words, name);
    const at = this.#base(ring) + BigInt(slot * DESCRIPTOR);
    this.#port.dmaWrite(at, new Uint8Array(words.buffer));
  }

  #base(ring: number): bigint {
    return BigInt(this.#register(ring + BASE_LOW)) |
      BigInt(this.#register(ring + BASE_HIGH)) << 32n;
  }

  #accepts(packet: Uint8Array): boolean {
    const control = this.#register(RCTL);
    if ((control & RCTL_ENABLE) === 0) return false;
    if (packet.subarray(0, 6).every((byte) => byte === 0xff)) {
      return (control & RCTL_BROADCAST) !== 0;
    }
    const isGroup = (packet[0]! & 1) !== 0;
    const all = isGroup ? RCTL_ALL_MULTICAST : RCTL_ALL_UNICAST;
    if ((control & all) !== 0) return true;
    const [a, b, c, d, e, f] = packet as unknown as number[];
    const low = (a! | b! << 8 | c! << 16 | d! << 24) >>> 0;
    const high = (e! | f! << 8 | ADDRESS_VALID) >>> 0;
    for (let at = ADDRESS_LOW; at < ADDRESS_LOW + 8 * ADDRESSES; at += 8) {
      const isIt = this.#register(at) === low &&
        this.#register(at + 4) === high;
      if (isIt) return true;
    }
    return false;
  }

  /** Causes an interrupt, unless it is not armed. It disarms the cause then. */
  #interrupt(causes: number): void {
    const pending = this.#register(ICR) | causes;
    this.#registers.set(ICR, pending);
    const armed = pending & this.#register(IMS) & CAUSE_RECEIVED;
    if (armed === 0 || (this.#register(IVAR) & 8) === 0) return;
    const cleared = armed & this.#register(EIAC);
    this.#registers.set(ICR, pending & ~cleared);
    this.#registers.set(IMS, (this.#register(IMS) & ~cleared) >>> 0);
    this.#port.interrupt(this.#register(IVAR) & 7);
  }

  #register(offset: number): number {
    return this.#registers.get(offset) ?? 0;
  }
}

function address(words: Uint32Array): bigint {
  return BigInt(words[0]!) | BigInt(words[1]!) << 32n;
}
