import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_SET_IOMMU,
} from "../../lib/uapi/vfio/container.ts";
import type {
  AttachTarget,
  DmaRange,
  IommuLimits,
  PhysicalRange,
} from "../backend.ts";
import { keptMapped, nodeRefused, openNode } from "../explain.ts";
import { ignoreErrors } from "../teardown.ts";

/** The node behind which every container is made. */
const CONTAINER_NODE = "/dev/vfio/vfio";

/** The IOMMU of a container. */
export interface ContainerIommu {
  /** Maps a range. */
  map(range: DmaRange): void;
  /** Maps a range without holding the event loop. */
  mapAsync(range: DmaRange): Promise<void>;
  /** Unmaps a range in which only whole ranges were mapped. */
  unmap(range: DmaRange): void;
  /** Unmaps everything. */
  unmapAll(): void;
  /** Forgets where this process has what is mapped, where it can. */
  dropAddresses?(): void;
  /** Learns where this process has a range now. */
  updateAddress?(range: DmaRange): void;
  /** Where a range lies in physical memory, where nothing is translated. */
  physical?(range: DmaRange, offset: number): PhysicalRange;
  /** Asks the kernel what can be mapped. */
  limits(): IommuLimits;
  /**
   * Asks the kernel what a bit stands for in its log of the memory that devices
   * write, in bytes; `undefined` where it has none.
   */
  dirtyPageSize?(): number | undefined;
}

/** A kernel's driver behind containers. */
export interface IommuDriver {
  /** Its types, `VFIO_*_IOMMU`, the best first. */
  readonly types: readonly number[];
  /** The IOMMU of a container that has one of these types. */
  open(kernel: Kernel, container: Fd): ContainerIommu;
  /** Explains why the kernel has none of these types. */
  missing(target: AttachTarget): VfioError;
  /**
   * Explains why the kernel refused a group, or an IOMMU for it; `undefined`
   * where that has nothing to do with the driver.
   */
  refused(target: AttachTarget, cause: unknown): VfioError | undefined;
}

/** A container with an IOMMU set. */
export class Container {
  readonly #fd: Fd;
  readonly #driver: IommuDriver;
  /** Its IOMMU. */
  readonly iommu: ContainerIommu;
  /** Its groups, and whether an IOMMU translates for them. */
  readonly #groups = new Map<Fd, boolean>();

  private constructor(kernel: Kernel, fd: Fd, driver: IommuDriver) {
    this.#fd = fd;
    this.#driver = driver;
    this.iommu = driver.open(kernel, fd);
  }

  /** Its descriptor. */
  get fd(): Fd {
    return this.#fd;
  }

  /** How many groups it has. */
  get groups(): number {
    return this.#groups.size;
  }

  /** Whether an IOMMU translates for one of its groups. */
  get translates(): boolean {
    return this.#groups.values().some((translates) => translates);
  }

  /**
   * Makes a container for a first group, with everything mapped.
   *
   * @param kernel The system that is asked.
   * @param target The device that the group is opened for.
   * @param group The group.
   * @param driver The driver that its IOMMU is set to.
   * @param mapped What is mapped.
   */
  static open(
    kernel: Kernel,
    target: AttachTarget,
    group: Fd,
    driver: IommuDriver,
    mapped: Iterable<DmaRange>,
  ): Container {
    using stack = new DisposableStack();
    const fd = stack.use(openNode(kernel, target, CONTAINER_NODE));
    const version = fd.ioctl(VFIO_GET_API_VERSION);
    if (version !== VFIO_API_VERSION) {
      throw new VfioError("BACKEND_UNAVAILABLE", {
        device: target.device.name,
        problem: `the kernel's VFIO has version ${version}, not 0`,
      });
    }
    const type = driver.types.find((type) =>
      fd.ioctl(VFIO_CHECK_EXTENSION, BigInt(type)) > 0
    );
    if (type === undefined) throw driver.missing(target);
    const container = new Container(kernel, fd, driver);
    if (!container.add(target, group)) {
      throw keptMapped(target) ?? new VfioError("KERNEL", {
        device: target.device.name,
        problem: "the kernel refuses its group in every container",
      });
    }
    stack.defer(() => container.remove(group));
    try {
      fd.ioctl(VFIO_SET_IOMMU, BigInt(type));
    } catch (error) {
      throw driver.refused(target, error) ?? error;
    }
    for (const range of mapped) container.iommu.map(range);
    stack.move();
    return container;
  }

  /** Puts a group in. False when the kernel wants another container for it. */
  add(target: AttachTarget, group: Fd): boolean {
    const argument = new Uint8Array(new Int32Array([this.#fd.number]).buffer);
    try {
      group.ioctl(VFIO_GROUP_SET_CONTAINER, argument);
    } catch (error) {
      if (hasErrno(error, "EINVAL")) return false;
      throw this.#driver.refused(target, error) ??
        nodeRefused(target, target.nodes.group!, error);
    }
    // The driver of a mediated device does its DMA.
    this.#groups.set(group, target.device.bus !== "mdev");
    return true;
  }

  /** Takes a group out, and closes the container behind the last one. */
  remove(group: Fd): void {
    this.#groups.delete(group);
    const isEmpty = this.#groups.size === 0;
    // The mappings are removed while the group is still in.
    if (isEmpty) ignoreErrors(() => this.iommu.unmapAll());
    // Where the kernel refuses, the group leaves when it is closed.
    ignoreErrors(() => group.ioctl(VFIO_GROUP_UNSET_CONTAINER));
    if (isEmpty) ignoreErrors(() => this.#fd.close());
  }
}
