import type { Mapping, RegisterViews } from "../../kernel/kernel.ts";
import { refuse } from "./refusal.ts";

/**
 * Memory with an identity. Pinned memory stays even if the process unmaps it:
 * {@linkcode AddressMap.unmap} detaches the process's views, but keeps the
 * bytes.
 */
export class Pages {
  /**
   * The present bytes. Callers must not keep the array: unmapping replaces it.
   */
  bytes: Uint8Array<ArrayBuffer>;
  /** The views of device registers, whose accesses have side effects. */
  readonly registers: RegisterViews | undefined;

  /**
   * Makes memory of bytes.
   *
   * @param bytes The bytes.
   * @param registers The views, if it is device registers.
   */
  constructor(bytes: Uint8Array<ArrayBuffer>, registers?: RegisterViews) {
    this.bytes = bytes;
    this.registers = registers;
  }
}

/** A part of some {@linkcode Pages}. */
export interface PagesSlice {
  /** The memory. */
  readonly pages: Pages;
  /** The offset of the part, in bytes. */
  readonly start: number;
  /** The length of the part, in bytes. */
  readonly length: number;
}

interface Range {
  readonly address: bigint;
  readonly end: bigint;
  readonly pages: Pages;
  /** Releases what the mapping holds. */
  readonly release: () => void;
}

/** The first address of simulated mappings. No real process uses that range. */
const FIRST_ADDRESS = 0x5100_0000_0000n;

/** A process's address space. */
export class AddressMap {
  readonly #ranges = new Map<bigint, Range>();
  #next = FIRST_ADDRESS;
  /** The buffers of calls whose address was taken. */
  readonly #buffers = new Map<bigint, WeakRef<Uint8Array>>();

  /** How many mappings there are. */
  get size(): number {
    return this.#ranges.size;
  }

  /**
   * Maps memory at a new address, aligned to its size up to 1 GiB.
   *
   * @param pages The memory.
   * @param release Called when it is unmapped, to release what it holds.
   */
  map(pages: Pages, release: () => void): Mapping {
    const length = pages.bytes.length;
    const alignment = BigInt(
      Math.min(2 ** Math.ceil(Math.log2(Math.max(length, 4096))), 2 ** 30),
    );
    const address = (this.#next + alignment - 1n) / alignment * alignment;
    const end = address + BigInt(length);
    // Mappings are a page apart, so that an access beyond the end is noticed.
    this.#next = end + 4096n;
    this.#ranges.set(address, { address, end, pages, release });
    const { registers } = pages;
    const mapping = { address, length, buffer: pages.bytes.buffer };
    return registers === undefined ? mapping : { ...mapping, registers };
  }

  /**
   * Unmaps what {@linkcode AddressMap.map} returned. Calling it again does
   * nothing.
   */
  unmap({ address, buffer }: Mapping): void {
    const range = this.#ranges.get(address);
    if (range === undefined) return;
    this.#ranges.delete(address);
    const { pages } = range;
    // Detaches the views of the process. The memory stays.
    if (pages.registers !== undefined) buffer.transfer(0);
    else if (!buffer.detached) pages.bytes = new Uint8Array(buffer.transfer());
    range.release();
  }

  /** Releases what the mappings hold, at the end of the process. */
  release(): void {
    for (const { release } of this.#ranges.values()) release();
  }

  /**
   * Returns the memory of a range, or `undefined` if a part of it is not
   * mapped.
   */
  slice(address: bigint, length: number): PagesSlice | undefined {
    for (const range of this.#ranges.values()) {
      if (address < range.address || address >= range.end) continue;
      return address + BigInt(length) <= range.end
        ? { pages: range.pages, start: Number(address - range.address), length }
        : undefined;
    }
    return undefined;
  }

  /** Gives a buffer an address, for use in a struct. */
  addressOf(buffer: Uint8Array): bigint {
    const address = this.#next;
    this.#next += BigInt(buffer.byteLength) + 4096n;
    this.#buffers.set(address, new WeakRef(buffer));
    for (const [old, held] of this.#buffers) {
      if (held.deref() === undefined) this.#buffers.delete(old);
    }
    return address;
  }

  /**
   * Returns the buffer that {@linkcode AddressMap.addressOf} gave an address.
   */
  buffer(address: bigint): Uint8Array {
    return this.#buffers.get(address)?.deref() ?? refuse("EFAULT");
  }
}
