import type {
  Attachment,
  AttachOptions,
  AttachTarget,
  BackendName,
  ContainerVersion,
  DirtyLog,
  DmaRange,
  IommuContext,
  IommuLimits,
  Mapped,
  PassedNodes,
  PhysicalRange,
  SharedIommufd,
} from "../../backends/backend.ts";
import type { Selection } from "../../backends/select.ts";
import { VfioError } from "../errors.ts";
import type { Kernel } from "../kernel/kernel.ts";

/** The backends, which are loaded when the first device is attached. */
type Backends = typeof import("./attaching.ts");

/**
 * What serves an address space in the kernel: a context of a backend, which
 * comes with the first device and goes with the last.
 */
export class SpaceContext {
  readonly #kernel: Kernel;
  readonly #wanted: BackendName | "auto";
  readonly #mapped: Mapped;
  readonly #iommufd: SharedIommufd | undefined;
  readonly #container: ContainerVersion | undefined;
  #context: IommuContext | undefined;
  #selection: Selection | undefined;
  #backends: Backends | undefined;
  /** Devices attached, and those on the way. */
  #users = 0;
  /** Whether those are without an IOMMU. */
  #noIommu = false;

  /**
   * Asks nothing of the kernel.
   *
   * @param kernel The system that is asked.
   * @param wanted The backend, or `"auto"`.
   * @param mapped What is mapped in the address space.
   * @param iommufd The iommufd that it lives in, where that was passed in.
   * @param container The version of its containers, where one is wanted.
   */
  constructor(
    kernel: Kernel,
    wanted: BackendName | "auto",
    mapped: Mapped,
    iommufd?: SharedIommufd,
    container?: ContainerVersion,
  ) {
    this.#iommufd = iommufd;
    this.#container = container;
    this.#kernel = kernel;
    this.#wanted = wanted;
    this.#mapped = mapped;
  }

  /**
   * The nodes through which a device is had, in the iommufd that was passed in.
   *
   * @param passed Those that were passed in with it.
   * @throws {VfioError} `DETACHED` if the iommufd was closed.
   */
  nodesFor(passed: PassedNodes | undefined): PassedNodes | undefined {
    const iommufd = this.#iommufd;
    if (iommufd === undefined || passed?.iommufd !== undefined) return passed;
    if (!iommufd.closed) return { ...passed, iommufd: iommufd.fd.number };
    throw new VfioError("DETACHED", {
      problem: "the iommufd that the address space lives in was closed",
      hint: "close the address spaces that live in it first",
    });
  }

  /** What serves it, for the door of a backend; `undefined` without a device. */
  get served(): IommuContext | undefined {
    return this.#context;
  }

  /** Which backend was chosen, and why; `undefined` without a device. */
  get selection(): Selection | undefined {
    return this.#selection;
  }

  /**
   * Attaches a device by the backend of those that are there, or by the one
   * that it gets.
   *
   * @param backends The backends.
   * @param target The device.
   * @param options How it is attached.
   * @throws {VfioError} `NOT_SUPPORTED` for a device without an IOMMU beside one
   * with an IOMMU, and the other way round; and what a backend throws.
   */
  async attach(
    backends: Backends,
    target: AttachTarget,
    options: AttachOptions,
  ): Promise<Attachment> {
    this.#backends = backends;
    this.#assertSameIsolation(target);
    await using stack = new AsyncDisposableStack();
    this.#users++;
    stack.defer(() => this.#leave());
    const attachment = await this.#attachBy(backends, target, options);
    stack.defer(() => attachment.detach());
    const held = stack.move();
    return { ...attachment, detach: () => held.disposeAsync() };
  }

  /** The backends; `undefined` until a device was attached. */
  get backends(): Backends | undefined {
    return this.#backends;
  }

  /** Maps what was added, for the devices that are there. */
  map(range: DmaRange): void {
    this.#context?.map(range);
  }

  /** The same without holding the event loop. */
  async mapAsync(range: DmaRange): Promise<void> {
    await this.#context?.mapAsync(range);
  }

  /** Maps what another space has mapped, for the devices that are there. */
  copy(range: DmaRange, from: DmaRange, source: object): void {
    const context = this.#context;
    if (context === undefined) return;
    const theirs = source instanceof SpaceContext ? source.#context : undefined;
    if (theirs !== undefined && context.copy(range, from, theirs)) return;
    context.map(range);
  }

  /** {@linkcode IommuContext.dropAddresses} */
  dropAddresses(): void {
    this.#context?.dropAddresses();
  }

  /** {@linkcode IommuContext.updateAddress} */
  updateAddress(range: DmaRange): void {
    this.#context?.updateAddress(range);
  }

  /** Unmaps what goes, from the devices that are there. */
  unmap(range: DmaRange): void {
    this.#context?.unmap(range);
  }

  /** Whether its devices are without an IOMMU; false without a device. */
  get noIommu(): boolean {
    return this.#users > 0 && this.#noIommu;
  }

  /**
   * Where a mapped range lies in physical memory.
   *
   * @throws {VfioError} `NOT_SUPPORTED` behind an IOMMU, `DETACHED` without a
   * device.
   */
  physical(range: DmaRange, offset: number): PhysicalRange {
    if (this.#context === undefined) {
      throw new VfioError("DETACHED", {
        problem: "no device is attached to the address space, so the memory " +
          "may be anywhere",
        hint: "attach a device first",
      });
    }
    if (this.#noIommu) return this.#context.physical(range, offset);
    throw new VfioError("NOT_SUPPORTED", {
      problem: "an IOMMU translates for the devices of the address space",
      hint: "give them the IOVA",
    });
  }

  /** {@linkcode IommuContext.startDirtyLog}; a device must be attached. */
  startDirtyLog(): Promise<DirtyLog> {
    return this.#context!.startDirtyLog();
  }

  /** What can be mapped. A device must be attached. */
  limits(): IommuLimits {
    return this.#context!.limits();
  }

  /**
   * Refuses what containers refuse, groups of both kinds in one, and what was
   * mapped for the other kind: somebody may have given its address away.
   */
  #assertSameIsolation({ device, noIommu }: AttachTarget): void {
    for (const range of this.#mapped()) {
      if (range.noIommu !== noIommu) throw mappedForOthers(device.name, range);
    }
    if (this.#users === 0) this.#noIommu = noIommu;
    if (this.#noIommu === noIommu) return;
    throw new VfioError("NOT_SUPPORTED", {
      device: device.name,
      problem: noIommu
        ? "no IOMMU isolates it, and the address space has devices with one"
        : "an IOMMU isolates it, and the address space has devices without one",
      hint: "attach it to an address space of its own",
    });
  }

  async #attachBy(
    { createContext, otherBackend, selectBackend }: Backends,
    target: AttachTarget,
    options: AttachOptions,
  ): Promise<Attachment> {
    const wanted = this.#context?.backend ?? this.#wanted;
    const selection = selectBackend(target, wanted);
    this.#selection ??= selection;
    const make = ({ backend }: Selection) =>
      createContext(
        backend,
        this.#kernel,
        this.#noIommu,
        this.#mapped,
        this.#iommufd,
        this.#container,
      );
    const context = this.#context ??= make(selection);
    try {
      return await context.attach(target, options);
    } catch (error) {
      const other = this.#users === 1
        ? otherBackend(target, this.#wanted, error)
        : undefined;
      if (other === undefined) throw error;
      this.#selection = other;
      this.#context = make(other);
      return await this.#context.attach(target, options);
    }
  }

  #leave(): void {
    if (--this.#users > 0) return;
    this.#context = undefined;
    this.#selection = undefined;
  }
}

function mappedForOthers(
  device: string,
  { bytes, noIommu }: DmaRange,
): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device,
    problem: noIommu
      ? `cannot map ${bytes} bytes for it: they were mapped for devices ` +
        "without an IOMMU"
      : `cannot map ${bytes} bytes for it: it has no IOMMU, and they have an ` +
        "IOVA",
    hint: noIommu
      ? "unmap everything before attaching a device with an IOMMU"
      : "unmap everything before attaching a device without an IOMMU, and " +
        "allocate afterwards",
  });
}
