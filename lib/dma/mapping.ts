import type {
  DmaRange,
  FileRange,
  PhysicalRange,
} from "../../backends/backend.ts";
import { VfioError } from "../errors.ts";
import { hex } from "../hex.ts";
import { iovaOf } from "../uapi/layout.ts";

/** The end of the addresses, in bytes. */
export const ADDRESS_END = 1n << 64n;

/** Memory of this process that can be mapped: whole pages. */
export interface MemoryRange {
  /** Its first byte's address, page-aligned. */
  readonly address: bigint;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
}

/** The memory behind a mapping. */
export interface MappedMemory {
  /** Where this process sees it; 0 where it cannot. */
  readonly address: bigint;
  /** Bytes, whole pages. */
  readonly size: number;
  /** The file that it is memory of, where it is one's. */
  readonly file?: FileRange | undefined;
  /** Whether it stays where it is in physical memory. Default: not. */
  readonly immovable?: boolean;
  /** Whether its device has taken it back. Default: not. */
  readonly revoked?: boolean;
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
  /**
   * What the IOVA that the space chooses is a multiple of, in bytes, a power of
   * two; of memory that is allocated, the address too. Default: as its size
   * suggests.
   */
  readonly alignment?: number;
}

/** The name of what an address space tells memory. `mod.ts` does not export it. */
export const MAPPED: unique symbol = Symbol("mapped");

/** Memory that knows where it is mapped: it is unmapped before it is freed. */
export interface TrackedMemory {
  /** @ignore It is mapped in a space. */
  [MAPPED](mapping: DmaMapping, space: object): void;
  /** It is not mapped there any more. */
  forget(mapping: DmaMapping): void;
}

/** The maker of a mapping, which unmaps it. */
export interface MappingOwner {
  /** Unmaps a mapping of its own. */
  unmap(mapping: DmaMapping): void;
  /** Where a mapping of its own lies in physical memory. */
  physical(mapping: DmaMapping, offset: number): PhysicalRange;
}

/**
 * The name of the mapping before one, in the list of its memory's. `mod.ts`
 * does not export it, nor the next.
 */
export const BEFORE: unique symbol = Symbol("before");
/** The name of the mapping behind one. */
export const BEHIND: unique symbol = Symbol("behind");

/** What is behind a mapping. */
export interface MappingSource {
  /** The memory. */
  readonly memory: MappedMemory;
  /** Who is told when it is unmapped. */
  readonly tracked: TrackedMemory | undefined;
  /** The mapping's maker. */
  readonly owner: MappingOwner;
}

/** The name of what is behind a mapping. `mod.ts` does not export it. */
export const SOURCE: unique symbol = Symbol("source");
/** The name of what a mapping's owner tells it when the memory has moved. */
export const MOVED: unique symbol = Symbol("moved");

/** The name of what a mapping's owner tells it. `mod.ts` does not export it. */
export const UNMAPPED: unique symbol = Symbol("unmapped");

/** Memory that the devices of an address space see. */
export class DmaMapping implements DmaRange, Disposable {
  readonly #owner: MappingOwner;
  readonly #source: MappedMemory;
  /** Where this process has it since it has moved. */
  #moved: bigint | undefined;
  readonly #memory: TrackedMemory | undefined;
  /** Where devices see it, in pages of 4 KiB. */
  readonly page: number;
  /** Bytes. */
  readonly bytes: number;
  /** Whether devices may write to it. */
  readonly writable: boolean;
  /** Whether no IOMMU translates for it: {@linkcode DmaMapping.physical}. */
  readonly noIommu: boolean;

  /** @ignore */
  [BEFORE]: DmaMapping | undefined = undefined;
  /** @ignore */
  [BEHIND]: DmaMapping | undefined = undefined;

  /** Made by `AddressSpace.map`. */
  constructor(
    owner: MappingOwner,
    page: number,
    source: MappedMemory,
    writable: boolean,
    noIommu: boolean,
    memory: TrackedMemory | undefined,
  ) {
    this.#owner = owner;
    this.#source = source;
    this.#memory = memory;
    this.page = page;
    this.bytes = source.size;
    this.writable = writable;
    this.noIommu = noIommu;
  }

  /** Where this process sees it; 0 where it cannot, as that of a dma-buf. */
  get address(): bigint {
    return this.#moved ?? this.#source.address;
  }

  /** The file that it is memory of, where it is one's. */
  get file(): FileRange | undefined {
    return this.#source.file;
  }

  /**
   * Whether the device behind it has taken its memory back, so that nobody
   * reaches it: a BAR was reset, detached, put to sleep, or its memory decoding
   * turned off. It does not come back: unmap it, and map the dma-buf again.
   *
   * It is known of what {@linkcode Region.exportDmaBuf} gave in this process.
   */
  get revoked(): boolean {
    return this.#source.revoked === true;
  }

  /** @ignore What it maps, who is told when it is unmapped, and its maker. */
  get [SOURCE](): MappingSource {
    return {
      memory: this.#source,
      tracked: this.#memory,
      owner: this.#owner,
    };
  }

  /** @ignore This process has the memory elsewhere now. */
  [MOVED](address: bigint): void {
    this.#moved = address;
  }

  /**
   * Where devices see it, in bytes.
   *
   * @throws {VfioError} `NOT_SUPPORTED` where no IOMMU translates.
   */
  get iova(): bigint {
    if (!this.noIommu) return iovaOf(this.page);
    throw new VfioError("NOT_SUPPORTED", {
      problem: "no IOMMU translates an IOVA for the devices of this memory",
      hint: "give them its physical address: physical(offset)",
    });
  }

  /**
   * Where devices see it that no IOMMU isolates: it is pinned, or stays where it
   * is, as long as one is attached.
   *
   * @param offset Where the answer begins in it, in bytes.
   * @returns The physical address, and how many bytes are contiguous from there.
   * @throws {RangeError} If it has no such byte.
   * @throws {VfioError} `NOT_SUPPORTED` behind an IOMMU, where a device is given
   * the IOVA; `DETACHED` while no device is attached, or once it is unmapped;
   * `PERMISSION_DENIED` without the right to know; `NO_MEMORY`, `KERNEL`.
   */
  physical(offset = 0): PhysicalRange {
    if (Number.isInteger(offset) && offset >= 0 && offset < this.bytes) {
      return this.#owner.physical(this, offset);
    }
    throw new RangeError(
      `Cannot look up byte ${offset}: the memory has ${this.bytes}`,
    );
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

/** Refuses memory that is no whole pages. */
export function assertWholePages(
  pageSize: number,
  address: bigint,
  size: number,
): void {
  if (!Number.isSafeInteger(size) || size <= 0 || size % pageSize !== 0) {
    throw new RangeError(
      `Cannot map ${size} bytes: expected a multiple of ${pageSize}`,
    );
  }
  if (
    address < 0n || address + BigInt(size) > ADDRESS_END ||
    address % BigInt(pageSize) !== 0n
  ) {
    throw new RangeError(
      `Cannot map memory at ${hex(address)}: expected a multiple of ` +
        `${pageSize}, and all of it inside 64 bits`,
    );
  }
}
