import type {
  Attachment,
  AttachRequest,
  BackendName,
  IommuLimits,
} from "../../backends/backend.ts";
import type { Selection } from "../../backends/select.ts";
import { toVfioError, VfioError } from "../errors.ts";
import type { HostDevice } from "../host/device.ts";
import { Host } from "../host/host.ts";
import { type MemoryLock, memoryLock } from "../host/iommu/memory_lock.ts";
import type { SignalOptions } from "../kernel/abort.ts";
import { systemOf } from "../kernel/intercept.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { hex } from "../hex.ts";
import { Mappings } from "./mappings.ts";
import { SpaceContext } from "./space_context.ts";
import { UNATTACHED } from "./unattached.ts";
import { type Member, MEMBERS, Members } from "./members.ts";
import {
  ANYWHERE,
  type DmaMapping,
  type MapOptions,
  type MemoryRange,
} from "./mapping.ts";
import {
  type AllocateOptions,
  DmaMemory,
  KEPT,
  mapImmovable,
  mapMemory,
  MAPPED,
} from "./memory.ts";

/** What an address space is made for. */
export interface AddressSpaceOptions {
  /**
   * The kernel interface to use. `"auto"` takes iommufd where `/dev/iommu` and
   * the device's own node both exist and work, else the legacy container.
   *
   * @default {"auto"}
   */
  readonly backend?: BackendName | "auto";
  /** The host whose devices it is for. Default: this machine. */
  readonly host?: Host;
  /**
   * Takes devices that no IOMMU isolates (`VFIO_NOIOMMU`). Such a device
   * reaches all of the host's memory, also what was freed. It is given
   * physical addresses: {@linkcode DmaMemory.physical}.
   *
   * @default {false}
   */
  readonly unsafeNoIommu?: boolean;
}

/** What an address space can map at the moment. */
export interface SpaceLimits extends IommuLimits {
  /** How much memory this process may lock; what is mapped is locked. */
  readonly memoryLock: MemoryLock;
}

/** What serves devices, which is loaded when the first one is attached. */
let attaching: typeof import("./attaching.ts") | undefined;

/** The end of the addresses, in bytes. */
const ADDRESS_END = 1n << 64n;

/**
 * One IOVA space, shared by the devices attached to it: all see the same memory
 * at the same IOVA.
 *
 * What is mapped belongs to the space. It is in force while a device is
 * attached; when the last one is detached the kernel drops and unpins it, and a
 * device attached later sees it again.
 *
 * @example Memory that a device can reach
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * using memory = space.allocate(4096);
 * memory.bytes.set([1, 2, 3]);
 * console.log(`${device.name} sees it at 0x${memory.iova.toString(16)}`);
 * ```
 */
export class AddressSpace implements AsyncDisposable {
  readonly #host: Host;
  readonly #context: SpaceContext;
  readonly #unsafeNoIommu: boolean;
  readonly #mappings: Mappings;
  readonly #memories = new Set<DmaMemory>();
  /** Done when what is being mapped is mapped, or was given up. */
  readonly #maps = new Set<Promise<void>>();
  #limits = UNATTACHED;
  /** Devices attached and not being detached: these set the limits. */
  #attached = 0;
  #closed = false;
  readonly #closing = new AbortController();
  /** @ignore */
  readonly [MEMBERS]: Members = new Members((device, options, enter) =>
    this.#attach(device, options, enter)
  );

  /**
   * Makes an empty space. Nothing is asked of the kernel before a device is
   * attached.
   *
   * @param options The backend, the host, and whether an IOMMU is required.
   * @throws {TypeError} If there is no such backend.
   */
  constructor(options: AddressSpaceOptions = {}) {
    const { backend = "auto", host, unsafeNoIommu = false } = options;
    if (!["auto", "legacy", "iommufd"].includes(backend)) {
      throw new TypeError(
        `Cannot take backend ${JSON.stringify(backend)}: expected "auto", ` +
          '"legacy" or "iommufd"',
      );
    }
    this.#host = host ?? new Host();
    this.#context = new SpaceContext(
      this.#host.kernel,
      backend,
      () => this.#mappings.values(),
    );
    this.#mappings = new Mappings(this.#context, UNATTACHED);
    this.#unsafeNoIommu = unsafeNoIommu;
  }

  /** The host whose devices it is for. */
  get host(): Host {
    return this.#host;
  }

  /**
   * Which backend was chosen, and why; `undefined` while no device is attached.
   * It is for people to read: both backends behave the same.
   */
  get backend(): Selection | undefined {
    return this.#context.selection;
  }

  /**
   * Whether memory that is mapped can be given back to the system, as a
   * virtual machine's balloon does. A device reaches the pages that were there
   * when they were pinned, and would not see those that come in their place.
   * Only mediated devices whose driver pins on demand allow it:
   * {@linkcode AttachOptions.pinsOnDemand}.
   */
  get discardable(): boolean {
    return !this[MEMBERS].pinsAll;
  }

  /**
   * What can be mapped now: usable IOVA ranges, alignment, the kernel's limit
   * on mappings, and the limit on locked memory.
   *
   * @throws {VfioError} `KERNEL`.
   */
  limits(): SpaceLimits {
    try {
      if (this.#attached > 0) this.#refreshLimits();
      return { ...this.#limits, memoryLock: memoryLock(this.#kernel) };
    } catch (error) {
      throw toVfioError(error, "read the limits");
    }
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
    this.#assertOpen();
    if (!this.#context.noIommu) {
      return this.#allocate(bytes, options, mapMemory);
    }
    return attaching!.allocateWithin(
      options.dmaMask,
      () => this.#allocate(bytes, options, mapImmovable),
    );
  }

  #allocate(
    bytes: number,
    options: AllocateOptions,
    take: typeof mapMemory | typeof mapImmovable,
  ): DmaMemory {
    const memory = take(this.#kernel, bytes, options.hugepages);
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
      attempt(() => dma.free());
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
    this.#assertOpen();
    this.#assertMemory(memory);
    const mapping = this.#mappings.map(memory, options, memory);
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
    this.#assertOpen();
    this.#assertMemory(memory);
    using _ = memory[KEPT]();
    await this[MEMBERS].arrived();
    this.#assertOpen();
    const mapped = this.#mappings.mapAsync(memory, options, memory, {
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
    this.#assertOpen();
    return this.#mappings.map({ address, size }, options, undefined);
  }

  /**
   * Unmaps memory from the devices. It does nothing for a mapping that is gone
   * already.
   *
   * @param mapping What {@linkcode AddressSpace.map} returned, or its IOVA.
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` if nothing is mapped at the IOVA.
   */
  unmap(mapping: DmaMapping | bigint): void {
    this.#mappings.unmap(mapping);
  }

  /**
   * Unmaps everything from the devices. The memory stays, and has no IOVA until
   * it is mapped again.
   *
   * @throws {VfioError} `KERNEL`. What was not unmapped stays mapped.
   */
  unmapAll(): void {
    this.#mappings.unmapAll();
  }

  /**
   * Detaches its devices, unmaps everything and frees the memory that was
   * allocated from it. An attach that is under way fails with `DETACHED`.
   * Calling it again does nothing.
   *
   * @throws {VfioError} `DETACH_INCOMPLETE` if a device was not detached
   * completely, and `KERNEL` if memory could not be freed. Everything else is
   * done all the same.
   */
  async close(): Promise<void> {
    this.#closed = true;
    this.#closing.abort(spaceClosed());
    await Promise.all(this.#maps);
    const failures = await this[MEMBERS].detachAll();
    for (const memory of this.#memories) attempt(() => memory.free());
    // Linux refuses it only when it lacks memory, which passes.
    for (const memory of this.#memories) {
      failures.push(...attempt(() => memory.free()));
    }
    this.unmapAll();
    if (failures.length > 0) throw failures[0];
  }

  /** The same as {@linkcode AddressSpace.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #attach<M extends Member>(
    device: HostDevice,
    options: AttachRequest,
    enter: (attachment: Attachment) => M,
  ): Promise<M> {
    this.#assertOpen();
    const backends = attaching ??= await import("./attaching.ts");
    // A backend that comes with this device maps what is mapped by then.
    while (this.#maps.size > 0) await Promise.all(this.#maps);
    this.#assertOpen();
    const target = backends.attachTarget(
      device,
      this.#unsafeNoIommu,
      options.passed,
    );
    await using stack = new AsyncDisposableStack();
    const registration = stack.use(
      backends.register(device, target.group, this),
    );
    using _ = this.#mappings.arrive(() => target.group.reservedRegions);
    const attachment = await this.#context.attach(backends, target, options);
    // What is left can translate more, maybe. Without an answer the narrower
    // limits stay.
    stack.defer(() => void attempt(() => this.#refreshLimits()));
    stack.defer(() => attachment.detach());
    this.#attached++;
    stack.defer(() => void this.#attached--);
    this.#refreshLimits();
    // The space may have been closed meanwhile.
    this.#assertOpen();
    const member = enter({
      ...attachment,
      detach: () => held.disposeAsync(),
    });
    registration.ownership = attachment.ownership;
    registration.member = member;
    const held = stack.move();
    return member;
  }

  get #kernel(): Kernel {
    return this.#host.kernel;
  }

  #assertOpen(): void {
    if (this.#closed) throw spaceClosed();
  }

  /** Asks what can be mapped, if anybody knows. */
  #refreshLimits(): void {
    this.#limits = this.#attached > 0 ? this.#context.limits() : UNATTACHED;
    this.#mappings.limits = this.#limits;
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

/** Refuses memory that is no whole pages. */
function assertWholePages(
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
