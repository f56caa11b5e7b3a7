import { VfioError } from "../errors.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { FileRange, PhysicalRange } from "../../backends/backend.ts";
import {
  BEFORE,
  BEHIND,
  type DmaMapping,
  MAPPED,
  type MappedMemory,
  type MemoryRange,
  type TrackedMemory,
} from "./mapping.ts";
import { type HostMemory, unmapMemory } from "./host_memory.ts";

/** The name of what keeps memory from being freed. */
export const KEPT: unique symbol = Symbol("kept");

/**
 * Memory that this process and the devices of an address space share. Other
 * spaces can map it too: {@linkcode AddressSpace.map}.
 */
export class DmaMemory
  implements MemoryRange, MappedMemory, TrackedMemory, Disposable {
  readonly #kernel: Kernel;
  readonly #memory: HostMemory;
  readonly #space: object;
  /** The last of its mappings, which form a list. */
  #last: DmaMapping | undefined;
  readonly #freed: (memory: DmaMemory) => void;
  /** Its mapping in the space that it was allocated from. */
  #mapping: DmaMapping | undefined;
  #isFreed = false;
  /**
   * Whether it stays where it is in physical memory, as what is allocated for
   * devices without an IOMMU does.
   */
  readonly immovable: boolean;
  /** How many maps of it are under way. */
  #keepers = 0;

  /**
   * Made by `AddressSpace.allocate`.
   *
   * @param kernel The system that it is memory of.
   * @param memory The memory.
   * @param space The address space that it is allocated from.
   * @param freed Called when it was freed.
   * @param immovable Whether it stays where it is in physical memory.
   */
  constructor(
    kernel: Kernel,
    memory: HostMemory,
    space: object,
    freed: (memory: DmaMemory) => void,
    immovable: boolean,
  ) {
    this.#kernel = kernel;
    this.#memory = memory;
    this.#space = space;
    this.#freed = freed;
    this.immovable = immovable;
  }

  /** @ignore */
  [MAPPED](mapping: DmaMapping, space: object): void {
    const last = this.#last;
    if (last !== undefined) last[BEHIND] = mapping;
    mapping[BEFORE] = last;
    this.#last = mapping;
    if (space === this.#space) this.#mapping ??= mapping;
  }

  /** @ignore */
  forget(mapping: DmaMapping): void {
    const { [BEFORE]: before, [BEHIND]: behind } = mapping;
    if (before !== undefined) before[BEHIND] = behind;
    if (behind !== undefined) behind[BEFORE] = before;
    else this.#last = before;
    if (this.#mapping === mapping) this.#mapping = undefined;
  }

  /** @ignore Keeps it until that is disposed of. */
  [KEPT](): Disposable {
    this.#keepers++;
    return { [Symbol.dispose]: () => void this.#keepers-- };
  }

  /** @ignore */
  assertNotFreed(): void {
    if (this.#isFreed) throw this.#freedError();
  }

  /** The system that it is memory of. */
  get kernel(): Kernel {
    return this.#kernel;
  }

  /** Whether the devices of the space that it was allocated from see it. */
  get mapped(): boolean {
    return this.#mapping !== undefined;
  }

  /**
   * Where the devices of the space that it was allocated from see it, in bytes.
   *
   * @throws {VfioError} `DETACHED` while it is not mapped there,
   * `NOT_SUPPORTED` where no IOMMU translates: {@linkcode DmaMemory.physical}.
   */
  get iova(): bigint {
    return this.#mapped.iova;
  }

  /**
   * Where devices that no IOMMU isolates see it: {@linkcode DmaMapping.physical}.
   *
   * @param offset Where the answer begins in it, in bytes.
   * @returns The physical address, and how many bytes are contiguous from there:
   * all of a huge page.
   * @throws {RangeError} If it has no such byte.
   * @throws {VfioError} What {@linkcode DmaMapping.physical} throws.
   *
   * @example Give a device the address of its ring, whether it has an IOMMU or not
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace({ unsafeNoIommu: true });
   * await using device = await VfioDevice.attach("0000:01:00.0", space);
   * using ring = space.allocate(8192);
   * const address = ring.immovable ? ring.physical().address : ring.iova;
   * console.log(device.name, address.toString(16));
   * ```
   */
  physical(offset = 0): PhysicalRange {
    return this.#mapped.physical(offset);
  }

  /** Its mapping in its own space. */
  get #mapped(): DmaMapping {
    if (this.#mapping !== undefined) return this.#mapping;
    this.assertNotFreed();
    throw new VfioError("DETACHED", {
      problem: "the DMA memory is not mapped in its address space any more",
      hint: "map it again: space.map(memory)",
    });
  }

  /** Where this process sees it. */
  get address(): bigint {
    return this.#memory.mapping.address;
  }

  /**
   * A descriptor of the file in memory that it is, to hand to another process;
   * `undefined` unless it was allocated with {@linkcode AllocateOptions.memfd}.
   * It is closed when the memory is freed.
   */
  get fd(): number | undefined {
    return this.#memory.fd?.number;
  }

  /** Where it lies in that file. */
  get file(): FileRange | undefined {
    const { fd } = this.#memory;
    return fd && { fd: fd.number, offset: 0 };
  }

  /** Bytes: what was asked for, rounded up to whole pages. */
  get size(): number {
    return this.#memory.mapping.length;
  }

  /**
   * The memory itself, to make views of. It is empty once the memory is freed,
   * and so is every view of it.
   */
  get buffer(): ArrayBuffer {
    return this.#memory.mapping.buffer;
  }

  /**
   * All of it as bytes. A read sees what devices have written by then.
   *
   * @throws {VfioError} `DETACHED` once it is freed.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    this.assertNotFreed();
    if (this.buffer.detached) {
      throw new VfioError("DETACHED", {
        problem: "the buffer of the DMA memory was transferred",
        hint: "use it where it was transferred to",
      });
    }
    return new Uint8Array(this.buffer);
  }

  /**
   * A part of it, from `offset` on, of `size` bytes or up to the end.
   *
   * @throws {RangeError} If it is not inside.
   * @throws {VfioError} `DETACHED` once the memory is freed.
   */
  slice(offset: number, size: number = this.size - offset): DmaSlice {
    this.assertNotFreed();
    assertPart(this.size, offset, size);
    return new DmaSlice(this, offset, size);
  }

  /**
   * Unmaps it from the devices of every address space, and frees it. Where its
   * buffer was transferred, to a Worker for example, the memory is kept until
   * the process ends: somebody may still use it. Calling it again does nothing.
   *
   * @throws {TypeError} While it is being mapped: {@linkcode
   * AddressSpace.mapAsync}.
   * @throws {VfioError} `KERNEL`. It can be called again.
   */
  free(): void {
    if (this.#isFreed) return;
    if (this.#keepers > 0) {
      throw new TypeError(
        "Cannot free memory that is being mapped: await mapAsync() first",
      );
    }
    // First, as its address could become that of other memory, which a device
    // would then reach.
    for (let mapping = this.#last; mapping !== undefined;) {
      const before = mapping[BEFORE];
      mapping.unmap();
      mapping = before;
    }
    unmapMemory(this.#kernel, this.#memory);
    this.#isFreed = true;
    this.#freed(this);
  }

  #freedError(): VfioError {
    return new VfioError("DETACHED", {
      problem: `the DMA memory of ${this.size} bytes was freed`,
      hint: "free memory after its last use, or allocate it anew",
    });
  }

  /** The same as {@linkcode DmaMemory.free}. */
  [Symbol.dispose](): void {
    this.free();
  }
}

/** A part of DMA memory: {@linkcode DmaMemory.slice}. */
export class DmaSlice {
  /** The memory that it is a part of. */
  readonly memory: DmaMemory;
  /** Where it begins in the memory, in bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;

  /** Made by {@linkcode DmaMemory.slice}. */
  constructor(memory: DmaMemory, offset: number, size: number) {
    [this.memory, this.offset, this.size] = [memory, offset, size];
  }

  /** Where devices see it: as {@linkcode DmaMemory.iova}. */
  get iova(): bigint {
    return this.memory.iova + BigInt(this.offset);
  }

  /** It as bytes: as {@linkcode DmaMemory.bytes}. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.memory.bytes.subarray(this.offset, this.offset + this.size);
  }

  /** A part of it: as {@linkcode DmaMemory.slice}. */
  slice(offset: number, size: number = this.size - offset): DmaSlice {
    assertPart(this.size, offset, size);
    return this.memory.slice(this.offset + offset, size);
  }
}

function assertPart(whole: number, offset: number, size: number): void {
  const isInside = Number.isInteger(offset) && Number.isInteger(size) &&
    offset >= 0 && size > 0 && offset + size <= whole;
  if (isInside) return;
  throw new RangeError(
    `Cannot take ${size} bytes at offset ${offset}: expected a part of ` +
      `${whole} bytes`,
  );
}
