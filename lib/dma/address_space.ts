import type {
  Attachment,
  AttachRequest,
  BackendName,
  IommuLimits,
  SharedIommufd,
} from "../../backends/backend.ts";
import type { SpaceIommufd } from "../../backends/door.ts";
import type { Selection } from "../../backends/select.ts";
import { ignoreErrors } from "../../backends/teardown.ts";
import { toVfioError } from "../errors.ts";
import type { HostDevice } from "../host/device.ts";
import { Host } from "../host/host.ts";
import { type MemoryLock, memoryLock } from "../host/iommu/memory_lock.ts";
import { DirtyTracking, JOINED, LEFT } from "./dirty/tracking.ts";
import { type Member, MEMBERS, Members } from "./members.ts";
import { SpaceContext } from "./space_context.ts";
import { SpaceMemory } from "./space_memory.ts";
import { UNATTACHED } from "./unattached.ts";

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
  /**
   * The iommufd that it lives in: an `Iommufd` of `@passthru/vfio/iommufd`, which
   * several spaces can share. The backend is `"iommufd"` then.
   */
  readonly iommufd?: SharedIommufd;
}

/** What an address space can map at the moment. */
export interface SpaceLimits extends IommuLimits {
  /** How much memory this process may lock; what is mapped is locked. */
  readonly memoryLock: MemoryLock;
}

/** What serves devices, which is loaded when the first one is attached. */
let attaching: typeof import("./attaching.ts") | undefined;

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
export class AddressSpace extends SpaceMemory implements AsyncDisposable {
  readonly #host: Host;
  readonly #unsafeNoIommu: boolean;
  #limits = UNATTACHED;
  /** Devices attached and not being detached: these set the limits. */
  #attached = 0;
  /** @ignore */
  readonly [MEMBERS]: Members = new Members(
    (device, options, enter) => this.#attach(device, options, enter),
    (member) => this.dirty[LEFT](member),
  );
  /** Which memory its devices write. */
  readonly dirty: DirtyTracking;

  /**
   * Makes an empty space. Nothing is asked of the kernel before a device is
   * attached.
   *
   * @param options The backend, the host, whether an IOMMU is required, and the
   * iommufd that it lives in.
   * @throws {TypeError} If there is no such backend, or it is not that of the
   * iommufd.
   */
  constructor(options: AddressSpaceOptions = {}) {
    const { host, unsafeNoIommu = false, iommufd } = options;
    const { backend = iommufd === undefined ? "auto" : "iommufd" } = options;
    if (!["auto", "legacy", "iommufd"].includes(backend)) {
      throw new TypeError(
        `Cannot take backend ${JSON.stringify(backend)}: expected "auto", ` +
          '"legacy" or "iommufd"',
      );
    }
    if (iommufd !== undefined && backend !== "iommufd") {
      throw new TypeError(
        `Cannot take backend "${backend}" for a space that lives in an iommufd`,
      );
    }
    const on = host ?? new Host();
    super(
      on.kernel,
      (mapped) => new SpaceContext(on.kernel, backend, mapped, iommufd),
    );
    this.#host = on;
    this.#unsafeNoIommu = unsafeNoIommu;
    this.dirty = new DirtyTracking({
      context: this.context,
      mappings: this.mapped,
      members: this[MEMBERS],
    });
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
    return this.context.selection;
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
      return { ...this.#limits, memoryLock: memoryLock(this.#host.kernel) };
    } catch (error) {
      throw toVfioError(error, "read the limits");
    }
  }

  /**
   * What it is in an iommufd: the IOAS, and the devices by which page tables,
   * PASIDs and virtual IOMMUs are made of it. What does is loaded here. It goes
   * with the last device.
   *
   * @throws {VfioError} `DETACHED` while no device is attached, `NOT_SUPPORTED`
   * with the legacy backend.
   *
   * @example What the IOMMU behind a device can do
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace({ backend: "iommufd" });
   * await using device = await VfioDevice.attach("0000:01:00.0", space);
   * const { find, ioas } = await space.iommufd();
   * console.log(find(device).hardwareInfo(), ioas.limits().ranges);
   * ```
   */
  async iommufd(): Promise<SpaceIommufd> {
    const { iommufdOf } = await import("../../backends/door.ts");
    return iommufdOf(this.context.served);
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
    await this.shut();
    const failures = await this[MEMBERS].detachAll();
    failures.push(...this.freeAll());
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
    this.assertOpen();
    const backends = attaching ??= await import("./attaching.ts");
    // A backend that comes with this device maps what is mapped by then.
    while (this.isMapping) await this.settled();
    this.assertOpen();
    const target = backends.attachTarget(
      device,
      this.#unsafeNoIommu,
      this.context.nodesFor(options.passed),
    );
    await using stack = new AsyncDisposableStack();
    const registration = stack.use(
      backends.register(device, target.group, this),
    );
    using _ = this.mapped.arrive(() => target.group.reservedRegions);
    const attachment = await this.context.attach(backends, target, options);
    // What is left can translate more, maybe. Without an answer the narrower
    // limits stay.
    stack.defer(() => void ignoreErrors(() => this.#refreshLimits()));
    stack.defer(() => attachment.detach());
    // The page table is to know who uses it.
    if (options.pageTable !== undefined) await this.iommufd();
    this.#attached++;
    stack.defer(() => void this.#attached--);
    this.#refreshLimits();
    // The space may have been closed meanwhile.
    this.assertOpen();
    const member = enter({
      ...attachment,
      detach: () => held.disposeAsync(),
    });
    registration.ownership = attachment.ownership;
    registration.member = member;
    if (this.dirty.by !== undefined) {
      await this.dirty[JOINED](member, attachment.borrowed);
    }
    const held = stack.move();
    return member;
  }

  /** Asks what can be mapped, if anybody knows. */
  #refreshLimits(): void {
    this.#limits = this.#attached > 0 ? this.context.limits() : UNATTACHED;
    this.mapped.limits = this.#limits;
  }
}
