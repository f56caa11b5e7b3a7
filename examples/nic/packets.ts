/**
 * Memory for packets, which cards of one address space share.
 *
 * @module
 */
import type { AddressSpace, DmaMemory } from "../../mod.ts";

/** Bytes of memory for a packet: a card is told so by `RCTL`. */
export const PACKET_BYTES = 2048;
/** The shortest packet that can be sent, without the checksum: a header. */
export const SHORTEST = 14;
/** The longest one: a header, a VLAN tag and 1500 bytes. */
export const LONGEST = 1518;

/**
 * A number of packets in DMA memory. A packet is known by its number, and
 * belongs to whoever has taken it: a card from when it is sent until it is sent,
 * the caller from when it is received. So it goes from card to card without a
 * copy, and nothing is allocated for it.
 */
export class PacketPool implements Disposable {
  readonly #memory: DmaMemory;
  /** The packets that nobody has taken: a stack. */
  readonly #free: Int32Array;
  #freeCount = 0;
  /** The memory of each packet. */
  readonly bytes: readonly Uint8Array<ArrayBuffer>[];
  /** How many bytes each packet has, of those of its memory. */
  readonly lengths: Uint16Array;
  /** Where the cards see each packet: the lower and the upper half. */
  readonly iovas: { readonly low: Int32Array; readonly high: Int32Array };

  /**
   * Allocates the memory.
   *
   * @param space The cards' address space.
   * @param count How many packets: as many as the descriptors of all cards,
   * and those that are held besides.
   */
  constructor(space: AddressSpace, count: number) {
    this.#memory = space.allocate(count * PACKET_BYTES);
    const { buffer } = this.#memory;
    const iova = Number(this.#memory.iova);
    const starts = Array.from({ length: count }, (_, i) => i * PACKET_BYTES);
    this.bytes = starts.map((at) => new Uint8Array(buffer, at, PACKET_BYTES));
    this.lengths = new Uint16Array(count);
    this.iovas = {
      low: Int32Array.from(starts, (at) => iova + at | 0),
      high: Int32Array.from(starts, (at) => Math.floor((iova + at) / 2 ** 32)),
    };
    this.#free = new Int32Array(count);
    for (let packet = count - 1; packet >= 0; packet--) this.give(packet);
  }

  /** How many packets nobody has taken. */
  get free(): number {
    return this.#freeCount;
  }

  /** Takes a packet, or returns -1 if all are taken. */
  take(): number {
    return this.#freeCount === 0 ? -1 : this.#free[--this.#freeCount]!;
  }

  /** Gives a packet back. */
  give(packet: number): void {
    this.#free[this.#freeCount++] = packet;
  }

  /** Frees the memory. The cards must be stopped. */
  [Symbol.dispose](): void {
    this.#memory.free();
  }
}
