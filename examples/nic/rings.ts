/**
 * A card's rings of descriptors (Intel 82574 datasheet, sections 7.1 and 7.2:
 * the legacy ones, which keep their address).
 *
 * What is called for each packet allocates nothing.
 *
 * @module
 */
import type { AddressSpace, DmaMemory } from "../../mod.ts";
import { acquire, Doorbell, Ring } from "../../lib/rings/mod.ts";
import { NicError } from "./error.ts";
import { LONGEST, PACKET_BYTES, type PacketPool, SHORTEST } from "./packets.ts";
import { type CardRegisters, RECEIVE, TAIL, TRANSMIT } from "./registers.ts";

/** A descriptor: an address in two words, a length and flags, a status. */
const SIZE = 16;
const LENGTH_MASK = 0xffff;
/** In word 3, of both kinds. */
const DONE = 1;
/** In word 3 of a received one: the packet ends here; what is wrong with it. */
const END = 2;
const ERRORS = 0xff00;
/** In word 2 of a sent one: the packet ends here; the card adds the checksum. */
const SEND = 1 << 24 | 1 << 25;
/** Also in it: the card says when it is sent. */
const REPORT = 1 << 27;

/** How many received packets there are for one write to the doorbell. */
const REFILL = 16;

// Every load of a status stores its value here. Otherwise the compiler could
// load once for many turns of a loop.
const sink = new Int32Array(1);

/** What a ring is made of. */
export interface RingParts {
  /** The card's address, for errors. */
  readonly name: string;
  /** Its address space. */
  readonly space: AddressSpace;
  /** Its registers. */
  readonly registers: CardRegisters;
  /** The packets. */
  readonly pool: PacketPool;
  /** Slots, a multiple of 8. */
  readonly entries: number;
}

/** The memory of a ring, and which packet is in each slot. */
class Slots {
  readonly memory: DmaMemory;
  readonly words: Int32Array;
  readonly packets: Int32Array;
  readonly bell: Doorbell;

  constructor(place: number, { space, registers, entries }: RingParts) {
    this.memory = space.allocate(entries * SIZE);
    const ring = new Ring(this.memory, { size: SIZE, entries, fields: {} });
    this.words = ring.words;
    this.packets = new Int32Array(entries).fill(-1);
    registers.setRing(place, ring.iova, entries * SIZE);
    this.bell = new Doorbell(registers.bar, place + TAIL);
  }

  /** Frees it, and gives its packets back. */
  free(pool: PacketPool): void {
    for (const packet of this.packets) if (packet >= 0) pool.give(packet);
    this.packets.fill(-1);
    this.memory.free();
  }
}

/** The packets that a card receives. */
export class ReceiveRing {
  readonly #name: string;
  readonly #slots: Slots;
  readonly #words: Int32Array;
  readonly #packets: Int32Array;
  readonly #pool: PacketPool;
  readonly #entries: number;
  #head = 0;
  /** How many slots the card may have and does not know of. */
  #kept = 0;
  /** How many packets were damaged, or too long for one slot. */
  damaged = 0;

  /**
   * Allocates it, and gives the card a packet for each slot.
   *
   * @param parts What it is made of.
   * @throws {RangeError} If the pool has not that many.
   */
  constructor(parts: RingParts) {
    const { name, pool, entries } = parts;
    if (pool.free < entries) {
      throw new RangeError(
        `Cannot fill a ring of ${entries} with ${pool.free} packets: expected ` +
          "a larger pool",
      );
    }
    this.#name = name;
    this.#pool = pool;
    this.#entries = entries;
    this.#slots = new Slots(RECEIVE, parts);
    this.#words = this.#slots.words;
    this.#packets = this.#slots.packets;
    for (let slot = 0; slot < entries; slot++) this.#fill(slot, pool.take());
  }

  /** Lets the card fill it. The card has all slots but one. */
  begin(): void {
    this.#slots.bell.ring(this.#entries - 1);
  }

  /** Whether a packet is there. */
  get hasPacket(): boolean {
    const status = sink[0] = this.#words[(this.#head << 2) + 3]!;
    return (status & DONE) !== 0;
  }

  /**
   * Takes the packets that are there. They are the caller's then, who gives them
   * back to the pool, or sends them.
   *
   * @param into Where their numbers are stored.
   * @returns How many there are. The rest stays where it is while the pool is
   * empty.
   * @throws {NicError} `PROTOCOL` if a packet is longer than its memory.
   */
  receive(into: Int32Array): number {
    const words = this.#words;
    const packets = this.#packets;
    const pool = this.#pool;
    const lengths = pool.lengths;
    const most = into.length;
    let head = this.#head;
    let count = 0;
    let done = 0;
    while (count < most) {
      const at = head << 2;
      const status = sink[0] = words[at + 3]!;
      if ((status & DONE) === 0) break;
      acquire(words, at + 3);
      const length = words[at + 2]! & LENGTH_MASK;
      if (length > PACKET_BYTES) {
        // What was taken before it is the caller's first.
        if (done > 0) break;
        this.#refuse(length);
      }
      let next = packets[head]!;
      if ((status & (END | ERRORS)) !== END || length < SHORTEST) {
        // Its memory is used again.
        this.damaged++;
      } else {
        next = pool.take();
        if (next < 0) break;
        const packet = packets[head]!;
        lengths[packet] = length;
        into[count++] = packet;
      }
      this.#fill(head, next);
      done++;
      if (++head === this.#entries) head = 0;
    }
    if (done === 0) return 0;
    this.#head = head;
    this.#kept += done;
    if (this.#kept >= REFILL) {
      this.#kept = 0;
      this.#slots.bell.ring((head === 0 ? this.#entries : head) - 1);
    }
    return count;
  }

  /** Frees it. The card must be stopped. */
  free(): void {
    this.#slots.free(this.#pool);
  }

  #fill(slot: number, packet: number): void {
    const words = this.#words;
    const { low, high } = this.#pool.iovas;
    const at = slot << 2;
    words[at] = low[packet]!;
    words[at + 1] = high[packet]!;
    words[at + 2] = 0;
    words[at + 3] = 0;
    this.#packets[slot] = packet;
  }

  #refuse(length: number): never {
    throw new NicError(
      "PROTOCOL",
      this.#name,
      `it received ${length} bytes into ${PACKET_BYTES}`,
    );
  }
}

/** The packets that a card sends. */
export class TransmitRing {
  readonly #slots: Slots;
  readonly #words: Int32Array;
  readonly #packets: Int32Array;
  readonly #pool: PacketPool;
  readonly #entries: number;
  /** The slots that the card reports: a ring, as long. */
  readonly #reports: Int32Array;
  #firstReport = 0;
  #lastReport = 0;
  #clean = 0;
  #tail = 0;

  /**
   * Allocates it.
   *
   * @param parts What it is made of.
   */
  constructor(parts: RingParts) {
    this.#pool = parts.pool;
    this.#entries = parts.entries;
    this.#slots = new Slots(TRANSMIT, parts);
    this.#words = this.#slots.words;
    this.#packets = this.#slots.packets;
    this.#reports = new Int32Array(parts.entries);
  }

  /**
   * Sends packets, which belong to the card from then on. It gives them back to
   * the pool.
   *
   * @param packets Their numbers.
   * @param count How many of them.
   * @returns How many there was room for. The others stay the caller's.
   * @throws {RangeError} If one is too short or too long. None is sent then.
   */
  send(packets: Int32Array, count: number): number {
    this.reclaim();
    const entries = this.#entries;
    const words = this.#words;
    const lengths = this.#pool.lengths;
    const { low, high } = this.#pool.iovas;
    let tail = this.#tail;
    const used = tail - this.#clean;
    const room = entries - 1 - (used < 0 ? used + entries : used);
    const most = count < room ? count : room;
    if (most <= 0) return 0;
    for (let i = 0; i < most; i++) {
      const length = lengths[packets[i]!];
      if (!(length! >= SHORTEST && length! <= LONGEST)) refuseLength(length);
    }
    let last = tail;
    for (let i = 0; i < most; i++) {
      const packet = packets[i]!;
      const at = tail << 2;
      words[at] = low[packet]!;
      words[at + 1] = high[packet]!;
      words[at + 2] = lengths[packet]! | SEND;
      words[at + 3] = 0;
      this.#packets[tail] = packet;
      last = tail;
      if (++tail === entries) tail = 0;
    }
    // One report for all.
    words[(last << 2) + 2] = words[(last << 2) + 2]! | REPORT;
    this.#reports[this.#lastReport] = last;
    if (++this.#lastReport === entries) this.#lastReport = 0;
    this.#tail = tail;
    this.#slots.bell.ring(tail);
    return most;
  }

  /** Gives the packets back to the pool that are sent. */
  reclaim(): void {
    const words = this.#words;
    while (this.#firstReport !== this.#lastReport) {
      const last = this.#reports[this.#firstReport]!;
      const status = sink[0] = words[(last << 2) + 3]!;
      if ((status & DONE) === 0) return;
      if (++this.#firstReport === this.#entries) this.#firstReport = 0;
      const end = last + 1 === this.#entries ? 0 : last + 1;
      let clean = this.#clean;
      while (clean !== end) {
        this.#pool.give(this.#packets[clean]!);
        this.#packets[clean] = -1;
        if (++clean === this.#entries) clean = 0;
      }
      this.#clean = clean;
    }
  }

  /** Frees it. The card must be stopped. */
  free(): void {
    this.#slots.free(this.#pool);
  }
}

function refuseLength(length: number | undefined): never {
  throw new RangeError(
    `Cannot send a packet of ${length} bytes: expected ${SHORTEST} to ` +
      `${LONGEST}, and the number of a packet`,
  );
}
