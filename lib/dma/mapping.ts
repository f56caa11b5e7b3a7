import type {
  DmaRange,
  FileRange,
  PhysicalRange,
} from "../../backends/backend.ts";
import { VfioError } from "../errors.ts";
import { iovaOf } from "../uapi/layout.ts";

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
    address: bigint,
    file: FileRange | undefined,
    bytes: number,
    writable: boolean,
    noIommu: boolean,
    memory: TrackedMemory | undefined,
  ) {
    this.#owner = owner;
    this.#memory = memory;
    this.page = page;
    this.address = address;
    this.file = file;
    this.bytes = bytes;
    this.writable = writable;
    this.noIommu = noIommu;
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
