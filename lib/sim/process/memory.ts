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
  /** Whether it is registers that no other device reaches any more. */
  revoked = false;
  /** How many bytes of it are contiguous in physical memory: a page's. */
  readonly unit: number;

  /**
   * Makes memory of bytes.
   *
   * @param bytes The bytes.
   * @param registers The views, if it is device registers.
   * @param unit The size of its pages in bytes.
   */
  constructor(
    bytes: Uint8Array<ArrayBuffer>,
    registers?: RegisterViews,
    unit = 4096,
  ) {
    this.bytes = bytes;
    this.registers = registers;
    this.unit = unit;
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
  /** Where it begins in these, in bytes. */
  readonly start: number;
  /** Whether the process can look at it, by its buffer. */
  readonly visible: boolean;
  /** Releases what the mapping holds. */
  readonly release: () => void;
}

/** The first address of simulated mappings. No real process uses that range. */
const FIRST_ADDRESS = 0x5100_0000_0000n;

/** A process's address space. */
export class AddressMap {
  readonly #ranges = new Map<bigint, Range>();
  /** Addresses of what was unmapped, by its length. */
  readonly #free = new Map<number, bigint[]>();
  #next = FIRST_ADDRESS;
  /** The buffers of calls whose address was taken. */
  readonly #buffers = new Map<bigint, WeakRef<Uint8Array>>();

  /** How many mappings there are. */
  get size(): number {
    return this.#ranges.size;
  }

  /**
   * Maps memory, aligned to its size up to 1 GiB. It gets the address of what
   * was unmapped last and was as large, as Linux gives it: whoever still uses
   * that by its address reaches this.
   *
   * @param pages The memory.
   * @param release Gives back what the mapping holds, when it is unmapped.
   * @param atLeast The least alignment, in bytes.
   */
  map(pages: Pages, release: () => void, atLeast: number): Mapping {
    const length = pages.bytes.length;
    const alignment = Math.max(
      Math.min(2 ** Math.ceil(Math.log2(Math.max(length, 4096))), 2 ** 30),
      atLeast,
    );
    const address = this.#address(length, BigInt(alignment));
    const end = address + BigInt(length);
    const range = { address, end, pages, start: 0, visible: true, release };
    this.#ranges.set(address, range);
    const { registers } = pages;
    const mapping = { address, length, buffer: pages.bytes.buffer };
    return registers === undefined ? mapping : { ...mapping, registers };
  }

  /**
   * Maps a part of a file in memory. JavaScript has no two buffers of the same
   * memory: only the first that has all of it can look at it. The buffer of
   * another is empty, as is that of memory that was unmapped.
   *
   * @param part The part.
   * @param release Gives back what the mapping holds, when it is unmapped.
   */
  mapPart(part: PagesSlice, release: () => void): Mapping {
    const { pages, start, length } = part;
    const isWhole = start === 0 && length === pages.bytes.length;
    const isSeen = [...this.#ranges.values()].some((range) =>
      range.pages === pages && range.visible
    );
    if (isWhole && !isSeen) return this.map(pages, release, 1);
    const address = this.#address(length, 4096n);
    const end = address + BigInt(length);
    const range = { address, end, pages, start, visible: false, release };
    this.#ranges.set(address, range);
    const buffer = new ArrayBuffer(length);
    buffer.transfer();
    return { address, length, buffer };
  }

  #address(length: number, alignment: bigint): bigint {
    const free = this.#free.get(length);
    const last = free?.at(-1);
    if (last !== undefined && last % alignment === 0n) {
      free!.pop();
      return last;
    }
    const address = (this.#next + alignment - 1n) / alignment * alignment;
    // A page apart, so that running over an end is noticed.
    this.#next = address + BigInt(length) + 4096n;
    return address;
  }

  /** Unmaps what {@linkcode AddressMap.map} gave; again is no error. */
  unmap({ address, buffer }: Mapping): void {
    const range = this.#ranges.get(address);
    if (range === undefined) return;
    const { pages } = range;
    // Whoever it was transferred to may still use it.
    if (range.visible && buffer.detached) return;
    this.#ranges.delete(address);
    const length = Number(range.end - address);
    const free = this.#free.get(length);
    if (free === undefined) this.#free.set(length, [address]);
    else free.push(address);
    // The views that the process made are detached; the memory goes on.
    if (!range.visible) return range.release();
    if (pages.registers !== undefined) buffer.transfer(0);
    else pages.bytes = new Uint8Array(buffer.transfer());
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
      if (address + BigInt(length) > range.end) return undefined;
      const { pages } = range;
      const start = range.start + Number(address - range.address);
      return start + length <= pages.bytes.length
        ? { pages, start, length }
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
