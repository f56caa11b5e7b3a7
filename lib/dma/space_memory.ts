import { ignoreErrors } from "../../backends/teardown.ts";
import { VfioError } from "../errors.ts";
import type { SignalOptions } from "../kernel/abort.ts";
import { systemOf } from "../kernel/intercept.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { iovaOf } from "../uapi/layout.ts";
import {
  FileMemory,
  type MapFileOptions,
  type MemorySource,
} from "./file_memory.ts";
import {
  type AllocateOptions,
  mapImmovable,
  mapMemory,
} from "./host_memory.ts";
import { pageOf } from "./iova_space.ts";
import {
  ADDRESS_END,
  ANYWHERE,
  assertWholePages,
  type DmaMapping,
  type MapOptions,
  MAPPED,
  type MemoryRange,
  SOURCE,
} from "./mapping.ts";
import { Mappings } from "./mappings.ts";
import { MEMBERS, type Members } from "./members.ts";
import { DmaMemory, KEPT } from "./memory.ts";
import type { SpaceContext } from "./space_context.ts";
import { UNATTACHED } from "./unattached.ts";

/** Where an IOVA leads to. */
export interface Translation {
  /** What is mapped there. */
  readonly mapping: DmaMapping;
  /** Where in it, in bytes. */
  readonly offset: number;
}

/** The memory of an address space: what {@linkcode AddressSpace} maps. */
export abstract class SpaceMemory {
  readonly #kernel: Kernel;
  readonly #memories = new Set<DmaMemory>();
  /** Done when what is being mapped is mapped, or was given up. */
  readonly #maps = new Set<Promise<void>>();
  #closed = false;
  readonly #closing = new AbortController();
  /** @ignore What serves it in the kernel. */
  protected readonly context: SpaceContext;
  /** @ignore What is mapped. */
  protected readonly mapped: Mappings;
  /** @ignore Its devices. */
  abstract readonly [MEMBERS]: Members;

  /** @ignore */
  constructor(
    kernel: Kernel,
    makeContext: (mapped: () => Iterable<DmaMapping>) => SpaceContext,
  ) {
    this.#kernel = kernel;
    this.context = makeContext(() => this.mapped.values());
    this.mapped = new Mappings(this.context, UNATTACHED);
  }

  /**
   * Allocates zeroed memory and maps it for the space's devices. While a device
   * is attached its pages are pinned.
   *
   * While the devices are without an IOMMU, the memory is huge pages of its own:
   * the smallest one that holds all of it, so that it is contiguous, or those of
   * `options.hugepages`. Then `options.dmaMask` is about its physical address.
   *
   * @param bytes How many bytes at least; rounded up to whole pages.
   * @param options Huge pages, and where it is mapped.
   * @returns The memory, to be freed by its owner or with the space.
   * @throws {RangeError} If `bytes` is not a positive whole number, or the IOVA
   * is not aligned.
   * @throws {TypeError} If there are no huge pages of that size.
   * @throws {VfioError} `PERMISSION_DENIED` if physical addresses are hidden
   * from this process, `NO_MEMORY`, `MEMLOCK_LIMIT`, `MAPPING_LIMIT`,
   * `IOVA_OUT_OF_RANGE`, `IOVA_OVERLAP`, `IOVA_EXHAUSTED`, `KERNEL`.
   */
  allocate(bytes: number, options: AllocateOptions = {}): DmaMemory {
    this.assertOpen();
    if (!this.context.noIommu) {
      return this.#allocate(bytes, options, mapMemory);
    }
    return this.context.backends!.allocateWithin(
      options.dmaMask,
      () => this.#allocate(bytes, options, mapImmovable),
    );
  }

  #allocate(
    bytes: number,
    options: AllocateOptions,
    take: typeof mapMemory | typeof mapImmovable,
  ): DmaMemory {
    const memory = take(this.#kernel, bytes, options);
    const dma = new DmaMemory(
      this.#kernel,
      memory,
      this,
      (dma) => void this.#memories.delete(dma),
      take === mapImmovable,
    );
    this.#memories.add(dma);
    try {
      this.map(dma, options);
    } catch (error) {
      // Where that fails too, close() tries it again.
      ignoreErrors(() => dma.free());
      throw error;
    }
    return dma;
  }

  /**
   * Maps memory of this or another address space. It is unmapped when it is
   * freed.
   *
   * @param memory The memory.
   * @param options Where it is mapped, and for what.
   * @returns The mapping.
   * @throws {RangeError} If the IOVA is not aligned.
   * @throws {TypeError} If it is memory of another system.
   * @throws {VfioError} `MEMLOCK_LIMIT`, `MAPPING_LIMIT`, `NO_MEMORY`,
   * `IOVA_OUT_OF_RANGE`, `IOVA_OVERLAP`, `IOVA_EXHAUSTED`; `DETACHED` if it was
   * freed.
   */
  map(memory: DmaMemory, options: MapOptions = ANYWHERE): DmaMapping {
    this.assertOpen();
    this.#assertMemory(memory);
    const mapping = this.mapped.map(memory, options, memory);
    memory[MAPPED](mapping, this);
    return mapping;
  }

  /**
   * Maps memory without holding the event loop, as pinning takes about 20 ms a
   * GiB. Attaching a device waits for it.
   *
   * @param memory The memory. It cannot be freed meanwhile.
   * @param options Where it is mapped, and for what; a signal gives it up, which
   * is heard after each GiB. Then nothing of it is mapped.
   * @returns The mapping.
   * @throws The signal's reason, and what {@linkcode AddressSpace.map} throws.
   *
   * @example Map memory of one space in another, for at most ten seconds
   * ```ts
   * import { AddressSpace } from "@passthru/vfio";
   *
   * await using space = new AddressSpace();
   * await using other = new AddressSpace();
   * const memory = space.allocate(2 ** 20);
   * const signal = AbortSignal.timeout(10_000);
   * const mapping = await other.mapAsync(memory, { signal });
   * console.log(mapping.iova);
   * ```
   */
  async mapAsync(
    memory: DmaMemory,
    options: MapOptions & SignalOptions = ANYWHERE,
  ): Promise<DmaMapping> {
    this.assertOpen();
    this.#assertMemory(memory);
    using _ = memory[KEPT]();
    await this[MEMBERS].arrived();
    this.assertOpen();
    const mapped = this.mapped.mapAsync(memory, options, memory, {
      signal: options.signal === undefined
        ? this.#closing.signal
        : AbortSignal.any([options.signal, this.#closing.signal]),
    });
    const over = mapped.then(() => {}, () => {});
    this.#maps.add(over);
    try {
      const mapping = await mapped;
      memory[MAPPED](mapping, this);
      return mapping;
    } finally {
      this.#maps.delete(over);
    }
  }

  #assertMemory(memory: DmaMemory): void {
    if (!(memory instanceof DmaMemory)) {
      throw new TypeError(
        "Cannot map: expected memory that an address space allocated; for any " +
          "other there is unsafeMap()",
      );
    }
    if (
      memory.kernel !== this.#kernel &&
      systemOf(memory.kernel) !== systemOf(this.#kernel)
    ) throw new TypeError("Cannot map memory of another system");
    memory.assertNotFreed();
  }

  /**
   * Maps memory by its address. It has to stay where it is until it is unmapped
   * from every space: a device that is attached later reaches whatever lies
   * there then. It is never a JavaScript buffer, which the engine moves and
   * frees.
   *
   * @param memory Whole pages of this process's memory.
   * @param options Where it is mapped, and for what.
   * @returns The mapping.
   * @throws {RangeError} If a size, an address or an IOVA is not aligned, or
   * the size is 0.
   * @throws {VfioError} `MEMLOCK_LIMIT`, `MAPPING_LIMIT`, `NO_MEMORY`,
   * `IOVA_OUT_OF_RANGE`, `IOVA_OVERLAP`, `IOVA_EXHAUSTED`.
   */
  unsafeMap(memory: MemoryRange, options: MapOptions = ANYWHERE): DmaMapping {
    const { address, size } = memory;
    assertWholePages(this.#kernel.pageSize, address, size);
    this.assertOpen();
    return this.mapped.map({ address, size }, options, undefined);
  }

  /**
   * Maps memory of a file: of a memfd or another file in memory, also one that
   * somebody else has made; or the registers of another device, by a dma-buf of
   * its BAR ({@linkcode Region.exportDmaBuf}), which devices then reach without
   * the host's memory. The file stays open until it is unmapped.
   *
   * A device revokes its dma-buf when it is reset, detached, sent to sleep or
   * its memory decoding is off. Then nobody reaches it at that IOVA any more
   * ({@linkcode DmaMapping.revoked}): unmap it, and map it again once the device
   * answers.
   *
   * @param source Its descriptor, or what has one.
   * @param options Which memory of it, and where it is mapped.
   * @returns The mapping.
   * @throws {RangeError} If the size, the offset or the IOVA is not aligned.
   * @throws {VfioError} `INACCESSIBLE` if the dma-buf is revoked;
   * `NOT_SUPPORTED` for a dma-buf with the legacy backend, and for one that the
   * kernel does not map; what {@linkcode AddressSpace.unsafeMap} throws.
   *
   * @example Let one device write to another's registers
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace({ backend: "iommufd" });
   * await using _writer = await VfioDevice.attach("0000:01:00.0", space);
   * await using device = await VfioDevice.attach("0000:00:03.0", space);
   * using registers = await device.bar(0).exportDmaBuf({ offset: 0, size: 4096 });
   * using mapping = space.mapFile(registers, { size: 4096 });
   * console.log(`DMA to 0x${mapping.iova.toString(16)} reaches them`);
   * ```
   */
  mapFile(source: MemorySource, options: MapFileOptions): DmaMapping {
    this.assertOpen();
    const memory = new FileMemory(this.#kernel, source, options);
    try {
      const mapping = this.mapped.map(memory, options, memory);
      memory[MAPPED]();
      return mapping;
    } catch (error) {
      memory.forget();
      throw error;
    }
  }

  /**
   * Maps what another address space has mapped. Where both live in the same
   * iommufd, the memory stays pinned once; else it is mapped again.
   *
   * @param mapping What the other has mapped. Unmapping either leaves the other.
   * @param options Where it is mapped, and for what; by default as there.
   * @returns The mapping.
   * @throws {TypeError} If it is to be written, and was mapped for reading.
   * @throws {VfioError} What {@linkcode AddressSpace.map} throws.
   */
  copy(mapping: DmaMapping, options: MapOptions = ANYWHERE): DmaMapping {
    this.assertOpen();
    const copied = this.mapped.copy(mapping, options);
    mapping[SOURCE].tracked?.[MAPPED](copied, this);
    return copied;
  }

  /**
   * Has the kernel forget where this process has the memory that is mapped, for
   * as long as another process has it, or it moves. Devices go on reaching it.
   * No device can be attached before {@linkcode AddressSpace.updateAddresses}.
   *
   * With the legacy container, which a program that an `exec` starts goes on
   * using. By iommufd what is mapped by its file needs nothing of that.
   *
   * @throws {VfioError} `NOT_SUPPORTED` with a mediated device, without an IOMMU,
   * or for memory that iommufd has mapped by its address; `KERNEL`.
   */
  dropAddresses(): void {
    this.mapped.dropAddresses();
  }

  /**
   * Tells the kernel where this process has the memory whose addresses were
   * dropped. It can be called again where it fails.
   *
   * @param addressOf The address of what is mapped. Default: as before.
   * @throws {VfioError} `KERNEL`.
   */
  updateAddresses(
    addressOf: (mapping: DmaMapping) => bigint = ({ address }) => address,
  ): void {
    this.mapped.updateAddresses(addressOf);
  }

  /**
   * What is mapped at an IOVA, as the devices see it.
   *
   * @param iova An IOVA, in bytes.
   * @returns The mapping, and where in it; `undefined` if there is none.
   */
  translate(iova: bigint): Translation | undefined {
    if (iova < 0n || iova >= ADDRESS_END) return undefined;
    const page = pageOf(iova);
    const mapping = this.mapped.firstWithin(page, page + 1);
    return mapping &&
      { mapping, offset: Number(iova - iovaOf(mapping.page)) };
  }

  /** What is mapped, by ascending IOVA. */
  mappings(): Iterable<DmaMapping> {
    return this.mapped.values();
  }

  /**
   * Unmaps memory from the devices. It does nothing for a mapping that is gone
   * already.
   *
   * @param mapping What {@linkcode AddressSpace.map} returned, or its IOVA.
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` if nothing is mapped at the IOVA.
   */
  unmap(mapping: DmaMapping | bigint): void {
    this.mapped.unmap(mapping);
  }

  /**
   * Unmaps everything from the devices. The memory stays, and has no IOVA until
   * it is mapped again.
   *
   * @throws {VfioError} `KERNEL`. What was not unmapped stays mapped.
   */
  unmapAll(): void {
    this.mapped.unmapAll();
  }

  /** @ignore Takes nothing more, and ends the maps that are under way. */
  protected async shut(): Promise<void> {
    this.#closed = true;
    this.#closing.abort(spaceClosed());
    await Promise.all(this.#maps);
  }

  /** @ignore Whether something is being mapped. */
  protected get isMapping(): boolean {
    return this.#maps.size > 0;
  }

  /** @ignore Waits until what is being mapped now is, or was given up. */
  protected async settled(): Promise<void> {
    await Promise.all(this.#maps);
  }

  /** @ignore Frees what was allocated, and returns what went wrong. */
  protected freeAll(): unknown[] {
    for (const memory of this.#memories) {
      ignoreErrors(() => memory.free());
    }
    // Linux refuses it only when it lacks memory, which passes.
    return [...this.#memories].flatMap((memory) =>
      attempt(() => memory.free())
    );
  }

  /** @ignore */
  protected assertOpen(): void {
    if (this.#closed) throw spaceClosed();
  }
}

function spaceClosed(): VfioError {
  return new VfioError("DETACHED", {
    problem: "the address space was closed",
    hint: "make a new one",
  });
}

/** Runs a step and returns its error, if any. */
function attempt(step: () => void): unknown[] {
  try {
    step();
    return [];
  } catch (error) {
    return [error];
  }
}
