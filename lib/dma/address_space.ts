import type {
  Attachment,
  AttachOptions,
  AttachTarget,
  BackendName,
  IommuContext,
  IommuLimits,
} from "../../backends/backend.ts";
import {
  createContext,
  selectBackend,
  type Selection,
} from "../../backends/select.ts";
import { attachTarget } from "../../backends/target.ts";
import { typed, VfioError } from "../errors.ts";
import type { HostDevice } from "../host/device.ts";
import { Host } from "../host/host.ts";
import { type MemoryLock, memoryLock } from "../host/iommu/memory_lock.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { hex } from "../hex.ts";
import { claim } from "./claims.ts";
import { IovaSpace } from "./iova_space.ts";
import { type Member, MEMBERS, Members } from "./members.ts";
import { DmaMapping, type MapOptions, type MemoryRange } from "./mapping.ts";
import {
  type AllocateOptions,
  DmaMemory,
  mapMemory,
  unmapMemory,
} from "./memory.ts";

/** What an address space is made for. */
export interface AddressSpaceOptions {
  /**
   * How the kernel is asked. `"auto"` takes iommufd where `/dev/iommu` and the
   * device's own node both exist and work, else the legacy container.
   *
   * @default {"auto"}
   */
  readonly backend?: BackendName | "auto";
  /** The host whose devices it is for. Default: this machine. */
  readonly host?: Host;
  /**
   * Takes devices that no IOMMU isolates (`VFIO_NOIOMMU`). Such a device
   * reaches all of the host's memory, and nothing can be mapped for it.
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

/**
 * What holds before a device is attached: every IOMMU that VFIO drives has 39
 * bits or more. Attaching a device with a reserved window that is mapped by
 * then is refused.
 */
const UNATTACHED: IommuLimits = {
  ranges: [{ start: 0n, last: (1n << 39n) - 1n }],
  alignment: 4096n,
  mappingsAvailable: undefined,
};

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
  readonly #wanted: BackendName | "auto";
  readonly #unsafeNoIommu: boolean;
  readonly #mappings = new Map<bigint, DmaMapping>();
  readonly #memories = new Set<DmaMemory>();
  readonly #iovas = new IovaSpace(UNATTACHED);
  #context: IommuContext | undefined;
  #selection: Selection | undefined;
  #limits = UNATTACHED;
  /** Devices attached, and those on the way. */
  #users = 0;
  /** Devices attached, of which none is on the way out: these set limits. */
  #attached = 0;
  #closed = false;
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
    this.#wanted = backend;
    this.#unsafeNoIommu = unsafeNoIommu;
  }

  /** The host whose devices it is for. */
  get host(): Host {
    return this.#host;
  }

  /**
   * Which backend was taken, and why; `undefined` while no device is attached.
   * For people to read: nothing works differently.
   */
  get backend(): Selection | undefined {
    return this.#selection;
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
      throw typed(error, "read the limits");
    }
  }

  /**
   * Allocates zeroed memory and maps it for the space's devices. While a device
   * is attached its pages are pinned.
   *
   * @param bytes How many bytes at least; rounded up to whole pages.
   * @param options Huge pages, and where it is mapped.
   * @returns The memory, to be freed by its owner or with the space.
   * @throws {RangeError} If `bytes` is not a positive whole number, or the IOVA
   * is not aligned.
   * @throws {TypeError} If there are no huge pages of that size.
   * @throws {VfioError} `NO_MEMORY`, `MEMLOCK_LIMIT`, `MAPPING_LIMIT`,
   * `IOVA_OUT_OF_RANGE`, `IOVA_OVERLAP`, `IOVA_EXHAUSTED`, `KERNEL`.
   */
  allocate(bytes: number, options: AllocateOptions = {}): DmaMemory {
    this.#assertOpen();
    const memory = mapMemory(this.#kernel, bytes, options.hugepages);
    try {
      const { address, length: size } = memory;
      const mapping = this.map({ address, size }, options);
      const dma = new DmaMemory(memory, mapping, (dma) => {
        if (!this.#memories.has(dma)) return;
        // First: as long as it is mapped for devices its address must not
        // become that of other memory, which a device attached later would get.
        mapping.unmap();
        unmapMemory(this.#kernel, memory);
        this.#memories.delete(dma);
      });
      this.#memories.add(dma);
      return dma;
    } catch (error) {
      unmapMemory(this.#kernel, memory);
      throw error;
    }
  }

  /**
   * Maps memory that exists already, such as another space's
   * {@linkcode DmaMemory}, or a range that was mapped by other means. Never a
   * JavaScript buffer: those move and go.
   *
   * @param memory Whole pages of this process's memory.
   * @param options Where it is mapped, and for what.
   * @returns The mapping.
   * @throws {RangeError} If a size, an address or an IOVA is not aligned, or
   * the size is 0.
   * @throws {VfioError} `MEMLOCK_LIMIT`, `MAPPING_LIMIT`, `NO_MEMORY`,
   * `IOVA_OUT_OF_RANGE`, `IOVA_OVERLAP`, `IOVA_EXHAUSTED`.
   */
  map(memory: MemoryRange, options: MapOptions = {}): DmaMapping {
    this.#assertOpen();
    const { address, size } = memory;
    const bytes = checkedSize(this.#kernel.pageSize, address, size);
    const mapping = new DmaMapping(
      this,
      this.#iovas.place(size, options),
      address,
      bytes,
      options.writable ?? true,
    );
    try {
      this.#context?.map(mapping);
    } catch (error) {
      this.#iovas.release(mapping.iova);
      throw typed(error, `map ${size} bytes`);
    }
    this.#mappings.set(mapping.iova, mapping);
    return mapping;
  }

  /**
   * Takes a mapping away from the devices. A mapping that is gone already is
   * left alone.
   *
   * @param mapping What {@linkcode AddressSpace.map} gave, or its IOVA.
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` if nothing is mapped at the IOVA.
   */
  unmap(mapping: DmaMapping | bigint): void {
    if (typeof mapping !== "bigint") {
      if (this.#mappings.get(mapping.iova) === mapping) this.#remove(mapping);
      return;
    }
    const present = this.#mappings.get(mapping);
    if (present === undefined) {
      throw new VfioError("IOVA_OUT_OF_RANGE", {
        problem: `nothing is mapped at IOVA ${hex(mapping)}`,
        hint: "unmap at the IOVA at which the mapping begins",
      });
    }
    this.#remove(present);
  }

  /** Takes every mapping away from the devices; the memory stays. */
  unmapAll(): void {
    for (const mapping of this.#mappings.values()) this.#remove(mapping);
  }

  /**
   * Detaches its devices, unmaps everything and frees the memory that was
   * allocated from it. An attach that is under way ends in `DETACHED`. Again is
   * harmless.
   *
   * @throws {VfioError} `DETACH_INCOMPLETE` if a device's detach was, and
   * `KERNEL` if memory could not be given back, with all the rest done.
   */
  async close(): Promise<void> {
    this.#closed = true;
    const failures = await this[MEMBERS].detachAll();
    for (const memory of this.#memories) attempt(() => memory.free());
    // Linux refuses it for want of memory alone, which passes.
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
    options: AttachOptions,
    enter: (attachment: Attachment) => M,
  ): Promise<M> {
    this.#assertOpen();
    const target = attachTarget(device, this.#unsafeNoIommu);
    await using stack = new AsyncDisposableStack();
    stack.use(claim(device, target.group, this));
    const context = this.#enter(target);
    stack.defer(() => this.#leave());
    const attachment = await context.attach(target, options);
    stack.defer(() => attachment.detach());
    this.#attached++;
    stack.defer(() => void this.#attached--);
    this.#refreshLimits();
    // It can have been closed meanwhile.
    this.#assertOpen();
    const member = enter({
      fd: attachment.fd,
      detach: () => held.disposeAsync(),
    });
    const held = stack.move();
    return member;
  }

  get #kernel(): Kernel {
    return this.#host.kernel;
  }

  #assertOpen(): void {
    if (!this.#closed) return;
    throw new VfioError("DETACHED", {
      problem: "the address space was closed",
      hint: "make a new one",
    });
  }

  /** The context that serves the space; the first device brings it. */
  #enter(target: AttachTarget): IommuContext {
    const wanted = this.#context?.backend ?? this.#wanted;
    const selection = selectBackend(target, wanted);
    this.#selection ??= selection;
    this.#users++;
    return this.#context ??= createContext(
      selection.backend,
      this.#kernel,
      () => this.#mappings.values(),
    );
  }

  #leave(): void {
    if (--this.#users > 0) return;
    this.#context = undefined;
    this.#selection = undefined;
  }

  #refreshLimits(): void {
    this.#limits = this.#context!.limits();
    this.#iovas.limits = this.#limits;
  }

  #remove(mapping: DmaMapping): void {
    try {
      this.#context?.unmap(mapping);
    } catch (error) {
      throw typed(error, `unmap ${hex(mapping.iova)}`);
    }
    this.#mappings.delete(mapping.iova);
    this.#iovas.release(mapping.iova);
  }
}

/** What a step fails with. */
function attempt(step: () => void): unknown[] {
  try {
    step();
    return [];
  } catch (error) {
    return [error];
  }
}

/** Checks memory that is to be mapped, and gives its size. */
function checkedSize(pageSize: number, address: bigint, size: number): bigint {
  if (!Number.isSafeInteger(size) || size <= 0 || size % pageSize !== 0) {
    throw new RangeError(
      `Cannot map ${size} bytes: expected a multiple of ${pageSize}`,
    );
  }
  const bytes = BigInt(size);
  if (
    address < 0n || address + bytes > ADDRESS_END ||
    address % BigInt(pageSize) !== 0n
  ) {
    throw new RangeError(
      `Cannot map memory at ${hex(address)}: expected a multiple of ` +
        `${pageSize}, and all of it inside 64 bits`,
    );
  }
  return bytes;
}
