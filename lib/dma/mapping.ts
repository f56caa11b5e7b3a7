import type { DmaRange, FileRange } from "../../backends/backend.ts";

/** Memory of this process that can be mapped: whole pages. */
export interface MemoryRange {
  /** Its first byte's address, page-aligned. */
  readonly address: bigint;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
}

/** Where memory is mapped when nothing is said. */
export const ANYWHERE: MapOptions = {};

/** Where memory is mapped, and for what. */
export interface MapOptions {
  /** The IOVA, in bytes. Default: the space chooses one. */
  readonly iova?: bigint;
  /**
   * The addresses that the device can put on the bus, where they are fewer than
   * 2^64: `0xffff_ffffn` for 32 bits. The space chooses no IOVA beyond it.
   */
  readonly dmaMask?: bigint;
  /**
   * Whether devices may write to it. They may always read.
   *
   * @default {true}
   */
  readonly writable?: boolean;
}

/** Memory that knows where it is mapped: it is unmapped before it is freed. */
export interface TrackedMemory {
  /** It is not mapped there any more. */
  forget(mapping: DmaMapping): void;
}

/** The maker of a mapping, which unmaps it. */
export interface MappingOwner {
  /** Unmaps a mapping of its own. */
  unmap(mapping: DmaMapping): void;
}

/**
 * The names of the mappings before and behind one in the list of its memory's.
 * `mod.ts` does not export them.
 */
export const BEFORE: unique symbol = Symbol("before");
export const BEHIND: unique symbol = Symbol("behind");

/** The name of what a mapping's owner tells it. `mod.ts` does not export it. */
export const UNMAPPED: unique symbol = Symbol("unmapped");

/** Memory that the devices of an address space see. */
export class DmaMapping implements DmaRange, Disposable {
  readonly #owner: MappingOwner;
  readonly #memory: TrackedMemory | undefined;
  /** Where devices see it, in pages of 4 KiB. */
  readonly page: number;
  /** Where this process sees it. */
  readonly address: bigint;
  /** The file that it is memory of, where it is one's. */
  readonly file: FileRange | undefined;
  /** Bytes. */
  readonly bytes: number;
  /** Whether devices may write to it. */
  readonly writable: boolean;

  /** @ignore */
  [BEFORE]: DmaMapping | undefined = undefined;
  /** @ignore */
  [BEHIND]: DmaMapping | undefined = undefined;

  /** Made by `AddressSpace.map`. */
  constructor(
    owner: MappingOwner,
    page: number,
    address: bigint,
    file: FileRange | undefined,
    bytes: number,
    writable: boolean,
    memory: TrackedMemory | undefined,
  ) {
    this.#owner = owner;
    this.#memory = memory;
    this.page = page;
    this.address = address;
    this.file = file;
    this.bytes = bytes;
    this.writable = writable;
  }

  /** Where devices see it, in bytes. */
  get iova(): bigint {
    // Stays within 64 bits, which the processor multiplies itself.
    return BigInt.asUintN(64, BigInt(this.page) * 4096n);
  }

  /** Bytes, as the other 64-bit numbers are. */
  get size(): bigint {
    return BigInt(this.bytes);
  }

  /**
   * Unmaps it from the devices; the memory stays. Calling it again does
   * nothing.
   *
   * @throws {VfioError} `KERNEL`. It stays mapped.
   */
  unmap(): void {
    this.#owner.unmap(this);
  }

  /** @ignore It was unmapped by its owner. */
  [UNMAPPED](): void {
    this.#memory?.forget(this);
  }

  /** The same as {@linkcode DmaMapping.unmap}. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}
