import type {
  Attachment,
  AttachRequest,
  BackendName,
  ContainerVersion,
  IommuLimits,
  SharedIommufd,
} from "../../backends/backend.ts";
import type { SpaceIommufd } from "../../backends/door.ts";
import type { Selection } from "../../backends/select.ts";
import { ignoreErrors } from "../../backends/teardown.ts";
import { toVfioError } from "../errors.ts";
import type { HostDevice, IommuGroup, ReservedRegion } from "../host/device.ts";
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
  /**
   * The version of its container's IOMMU driver. The backend is `"legacy"` then.
   * Version 1 logs no memory that devices write; `"nesting"` is for ARM's IOMMUs
   * on kernels before Linux 6.13. Default: version 2.
   */
  readonly container?: ContainerVersion;
}

/** What an address space can map at the moment. */
export interface SpaceLimits extends IommuLimits {
  /**
   * What the firmware and the IOMMU have reserved for the devices' groups, by
   * ascending IOVA. It is not in `ranges`, but for what is
   * `"direct-relaxable"`.
   */
  readonly reserved: readonly ReservedRegion[];
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
  /** The groups of the devices that are attached: these set the limits. */
  readonly #groups: IommuGroup[] = [];
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
   * @throws {TypeError} If there is no such backend or version, or it is not that
   * of the iommufd or the container.
   */
  constructor(options: AddressSpaceOptions = {}) {
    const { host, unsafeNoIommu = false, iommufd, container } = options;
    const only = onlyBackend(iommufd, container);
    const { backend = only ?? "auto" } = options;
    if (!["auto", "legacy", "iommufd"].includes(backend)) {
      throw new TypeError(
        `Cannot take backend ${JSON.stringify(backend)}: expected "auto", ` +
          '"legacy" or "iommufd"',
      );
    }
    if (only !== undefined && backend !== only) {
      const where = only === "iommufd" ? "an iommufd" : "a container";
      throw new TypeError(
        `Cannot take backend "${backend}" for a space that lives in ${where}`,
      );
    }
    const on = host ?? new Host();
    super(
      on.kernel,
      (mapped) =>
        new SpaceContext(on.kernel, backend, mapped, iommufd, container),
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
   * What can be mapped now: usable IOVA ranges, those that are reserved,
   * alignment, the kernel's limit on mappings, and that on locked memory.
   *
   * @throws {VfioError} `KERNEL`.
   */
  limits(): SpaceLimits {
    try {
      if (this.#groups.length > 0) this.#refreshLimits();
      return {
        ...this.#limits,
        reserved: reservedIn(this.#groups),
        memoryLock: memoryLock(this.#host.kernel),
      };
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
    this.#groups.push(target.group);
    stack.defer(() =>
      void this.#groups.splice(this.#groups.indexOf(target.group), 1)
    );
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
    this.#limits = this.#groups.length > 0 ? this.context.limits() : UNATTACHED;
    this.mapped.limits = this.#limits;
  }
}

/** What groups have reserved: most have the same. */
function reservedIn(groups: readonly IommuGroup[]): ReservedRegion[] {
  const regions = new Map<string, ReservedRegion>();
  for (const { reservedRegions } of groups) {
    for (const region of reservedRegions) {
      regions.set(`${region.start} ${region.last} ${region.type}`, region);
    }
  }
  return regions.values().toArray()
    .sort((a, b) => a.start < b.start ? -1 : a.start > b.start ? 1 : 0);
}

const VERSIONS: readonly unknown[] = ["v1", "v2", "nesting"];

/** The only backend that has what is asked for, where there is one. */
function onlyBackend(
  iommufd: SharedIommufd | undefined,
  container: ContainerVersion | undefined,
): BackendName | undefined {
  if (container === undefined) return iommufd && "iommufd";
  if (!VERSIONS.includes(container)) {
    throw new TypeError(
      `Cannot take a container of ${JSON.stringify(container)}: expected ` +
        '"v1", "v2" or "nesting"',
    );
  }
  if (iommufd === undefined) return "legacy";
  throw new TypeError("Cannot take a container in an iommufd");
}
