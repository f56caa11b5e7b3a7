import type { DmaRange } from "../../backends/backend.ts";

/** Memory of this process that can be mapped: whole pages. */
export interface MemoryRange {
  /** Its first byte's address, page-aligned. */
  readonly address: bigint;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
}

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

/** The maker of a mapping, which unmaps it. */
export interface MappingOwner {
  /** Unmaps a mapping of its own. */
  unmap(mapping: DmaMapping): void;
}

/** Memory that the devices of an address space see. */
export class DmaMapping implements DmaRange, Disposable {
  readonly #owner: MappingOwner;
  /** Where devices see it, in bytes. */
  readonly iova: bigint;
  /** Where this process sees it. */
  readonly address: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Whether devices may write to it. */
  readonly writable: boolean;

  /** Made by `AddressSpace.map`. */
  constructor(
    owner: MappingOwner,
    iova: bigint,
    address: bigint,
    size: bigint,
    writable: boolean,
  ) {
    this.#owner = owner;
    this.iova = iova;
    this.address = address;
    this.size = size;
    this.writable = writable;
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

  /** The same as {@linkcode DmaMapping.unmap}. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}
