/**
 * The legacy backend: groups, containers and the type 1 IOMMU
 * (`Documentation/driver-api/vfio.rst`).
 *
 * A group belongs to one container. Where the kernel refuses a group in the
 * containers that there are, another container joins the same address space and
 * gets all of its mappings.
 *
 * @module
 */

import { VfioError } from "../lib/errors.ts";
import { hasErrno } from "../lib/kernel/errno.ts";
import { Fd } from "../lib/kernel/fd.ts";
import { infoCapabilities, readInfo } from "./info.ts";
import type { Kernel } from "../lib/kernel/kernel.ts";
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  vfio_group_status,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../lib/uapi/vfio/container.ts";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info_dma_avail,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iova_range,
} from "../lib/uapi/vfio/type1.ts";
import type {
  Attachment,
  AttachOptions,
  AttachTarget,
  DmaRange,
  IommuContext,
  IommuLimits,
  IovaRange,
  Mapped,
} from "./backend.ts";
import {
  groupNotViable,
  ignoreErrors,
  keptMapped,
  mappingRefused,
  nodeRefused,
  openNode,
  unsafeInterrupts,
  wrongToken,
} from "./explain.ts";

/** The node behind which every container is made. */
export const CONTAINER_NODE = "/dev/vfio/vfio";

/** A group that is open, in its container, and has devices attached. */
interface OpenGroup {
  readonly id: string;
  readonly fd: Fd;
  readonly container: Container;
  /** Devices attached, and those on the way. */
  users: number;
}

/** An IOVA space in the kernel, as one or several containers. */
export class LegacyContext implements IommuContext {
  /** Always `"legacy"`. */
  readonly backend = "legacy";
  readonly #kernel: Kernel;
  readonly #mapped: Mapped;
  readonly #containers = new Set<Container>();
  readonly #groups = new Map<string, OpenGroup>();

  /**
   * @param kernel The system that is asked.
   * @param mapped What is mapped in the address space.
   */
  constructor(kernel: Kernel, mapped: Mapped) {
    this.#kernel = kernel;
    this.#mapped = mapped;
  }

  async attach(
    target: AttachTarget,
    options: AttachOptions,
  ): Promise<Attachment> {
    const group = this.#enter(target);
    try {
      const fd = await this.#open(target, group, options);
      return {
        fd,
        detach: async () => {
          await ignoreErrors(() => fd.closeAsync());
          this.#leave(group);
        },
      };
    } catch (error) {
      this.#leave(group);
      throw error;
    }
  }

  /**
   * Opens the group and puts it into a container, or returns it where that was
   * done.
   */
  #enter(target: AttachTarget): OpenGroup {
    const { id } = target.group;
    const present = this.#groups.get(id);
    if (present !== undefined) {
      present.users++;
      return present;
    }
    using stack = new DisposableStack();
    const fd = stack.use(openGroup(this.#kernel, target));
    const container = this.#join(target, fd);
    stack.move();
    const group = { id, fd, container, users: 1 };
    this.#groups.set(id, group);
    return group;
  }

  /** Puts a group into the first container that takes it. */
  #join(target: AttachTarget, group: Fd): Container {
    for (const container of this.#containers) {
      if (container.add(target, group)) return container;
    }
    const container = Container.open(
      this.#kernel,
      target,
      group,
      this.#mapped(),
    );
    this.#containers.add(container);
    return container;
  }

  async #open(
    target: AttachTarget,
    group: OpenGroup,
    { vfToken }: AttachOptions,
  ): Promise<Fd> {
    const { name } = target.device;
    const argument = vfToken === undefined
      ? `${name}\0`
      : `${name} vf_token=${vfToken}\0`;
    try {
      const fd = await group.fd.ioctlAsync(
        VFIO_GROUP_GET_DEVICE_FD,
        new TextEncoder().encode(argument),
      );
      return Fd.adopt(this.#kernel, fd);
    } catch (error) {
      if (hasErrno(error, "EACCES")) throw wrongToken(target, error);
      throw nodeRefused(target, target.nodes.group!, error);
    }
  }

  #leave(group: OpenGroup): void {
    if (--group.users > 0) return;
    const { id, fd, container } = group;
    this.#groups.delete(id);
    container.remove(fd);
    if (container.groups === 0) this.#containers.delete(container);
    ignoreErrors(() => fd.close());
  }

  map(range: DmaRange): void {
    let mapped = 0;
    try {
      for (const container of this.#containers) {
        container.map(range);
        mapped++;
      }
    } catch (error) {
      for (const container of [...this.#containers].slice(0, mapped)) {
        ignoreErrors(() => container.unmap(range));
      }
      throw error;
    }
  }

  unmap(range: DmaRange): void {
    for (const container of this.#containers) container.unmap(range);
  }

  limits(): IommuLimits {
    return [...this.#containers]
      .map((container) => container.limits())
      .reduce(intersection);
  }
}

/** Opens a viable group. */
function openGroup(kernel: Kernel, target: AttachTarget): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(openNode(kernel, target, target.nodes.group!));
  const status = vfio_group_status.alloc();
  fd.ioctl(VFIO_GROUP_GET_STATUS, status);
  const { flags } = vfio_group_status.decode(status);
  if ((flags & VFIO_GROUP_FLAGS_VIABLE) === 0) throw groupNotViable(target);
  stack.move();
  return fd;
}

/** A container with an IOMMU set. */
class Container {
  readonly #kernel: Kernel;
  readonly #fd: Fd;
  readonly #type: number;
  readonly #map = vfio_iommu_type1_dma_map.alloc();
  readonly #mapView = new DataView(this.#map.buffer);
  readonly #unmap = vfio_iommu_type1_dma_unmap.alloc();
  readonly #unmapView = new DataView(this.#unmap.buffer);
  #groups = 0;

  private constructor(kernel: Kernel, fd: Fd, type: number) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.#type = type;
  }

  /** How many groups it has. */
  get groups(): number {
    return this.#groups;
  }

  /** Makes a container for a first group, with everything mapped. */
  static open(
    kernel: Kernel,
    target: AttachTarget,
    group: Fd,
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
    const type = chooseType(fd, target.noIommu);
    if (type === undefined) {
      throw new VfioError("BACKEND_UNAVAILABLE", {
        device: target.device.name,
        problem: "the kernel has no type 1 IOMMU driver for containers",
        hint: "load it: modprobe vfio_iommu_type1",
      });
    }
    const container = new Container(kernel, fd, type);
    if (!container.add(target, group)) {
      throw keptMapped(target) ?? new VfioError("KERNEL", {
        device: target.device.name,
        problem: "the kernel refuses its group in every container",
      });
    }
    stack.defer(() => container.remove(group));
    container.#setIommu(target);
    for (const range of mapped) container.map(range);
    stack.move();
    return container;
  }

  #setIommu(target: AttachTarget): void {
    try {
      this.#fd.ioctl(VFIO_SET_IOMMU, BigInt(this.#type));
    } catch (error) {
      throw hasErrno(error, "EPERM") ? unsafeInterrupts(target, error) : error;
    }
  }

  /** Puts a group in. False when the kernel wants another container for it. */
  add(target: AttachTarget, group: Fd): boolean {
    const argument = new Uint8Array(new Int32Array([this.#fd.number]).buffer);
    try {
      group.ioctl(VFIO_GROUP_SET_CONTAINER, argument);
    } catch (error) {
      if (hasErrno(error, "EINVAL")) return false;
      throw nodeRefused(target, target.nodes.group!, error);
    }
    this.#groups++;
    return true;
  }

  /** Takes a group out, and closes the container behind the last one. */
  remove(group: Fd): void {
    this.#groups--;
    // The mappings are removed while the group is still in. Kernels before 5.12
    // do not know the flag, and drop the mappings when the last group leaves.
    if (this.#groups === 0) ignoreErrors(() => this.#unmapAll());
    // Where the kernel refuses, the group leaves when it is closed.
    ignoreErrors(() => group.ioctl(VFIO_GROUP_UNSET_CONTAINER));
    if (this.#groups === 0) ignoreErrors(() => this.#fd.close());
  }

  #unmapAll(): void {
    const flags = VFIO_DMA_UNMAP_FLAG_ALL;
    this.#fd.ioctl(
      VFIO_IOMMU_UNMAP_DMA,
      vfio_iommu_type1_dma_unmap.alloc({ flags }),
    );
  }

  map(range: DmaRange): void {
    const { iova, address, size, writable } = range;
    const offset = vfio_iommu_type1_dma_map.offset;
    const flags = VFIO_DMA_MAP_FLAG_READ |
      (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0);
    this.#mapView.setUint32(offset.flags, flags, true);
    this.#mapView.setBigUint64(offset.vaddr, address, true);
    this.#mapView.setBigUint64(offset.iova, iova, true);
    this.#mapView.setBigUint64(offset.size, size, true);
    try {
      this.#fd.ioctl(VFIO_IOMMU_MAP_DMA, this.#map);
    } catch (error) {
      throw mappingRefused(this.#kernel, "legacy", range, error);
    }
  }

  unmap({ iova, size }: DmaRange): void {
    const offset = vfio_iommu_type1_dma_unmap.offset;
    this.#unmapView.setBigUint64(offset.iova, iova, true);
    this.#unmapView.setBigUint64(offset.size, size, true);
    this.#fd.ioctl(VFIO_IOMMU_UNMAP_DMA, this.#unmap);
  }

  limits(): IommuLimits {
    if (this.#type === VFIO_NOIOMMU_IOMMU) {
      const alignment = BigInt(this.#kernel.pageSize);
      return { ranges: [], alignment, mappingsAvailable: undefined };
    }
    const bytes = readInfo(
      (argument) => this.#fd.ioctl(VFIO_IOMMU_GET_INFO, argument),
      vfio_iommu_type1_info,
    );
    const info = vfio_iommu_type1_info.decode(bytes);
    let ranges: IovaRange[] = [{ start: 0n, last: 0xffff_ffff_ffff_ffffn }];
    let mappingsAvailable: number | undefined;
    for (const { id, at } of infoCapabilities(bytes, info.cap_offset)) {
      if (id === VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
        ranges = decodeRanges(bytes, at);
      } else if (id === VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
        mappingsAvailable =
          vfio_iommu_type1_info_dma_avail.decode(bytes, at).avail;
      }
    }
    // The smallest page size: the lowest bit that is set.
    const alignment = info.iova_pgsizes & -info.iova_pgsizes;
    return { ranges, alignment, mappingsAvailable };
  }
}

function chooseType(container: Fd, noIommu: boolean): number | undefined {
  // Version 2 first: it refuses an unmap that would split a mapping.
  const types = noIommu
    ? [VFIO_NOIOMMU_IOMMU]
    : [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU];
  return types.find((type) =>
    container.ioctl(VFIO_CHECK_EXTENSION, BigInt(type)) > 0
  );
}

function decodeRanges(bytes: Uint8Array, at: number): IovaRange[] {
  const layout = vfio_iommu_type1_info_cap_iova_range;
  const { nr_iovas } = layout.decode(bytes, at);
  return vfio_iova_range
    .decodeArray(bytes, nr_iovas, at + layout.offset.iova_ranges)
    .map(({ start, end }) => ({ start, last: end }));
}

/** What both of two containers can translate. */
function intersection(a: IommuLimits, b: IommuLimits): IommuLimits {
  const ranges = a.ranges.flatMap((one) =>
    b.ranges.map((other) => ({
      start: max(one.start, other.start),
      last: min(one.last, other.last),
    }))
  ).filter(({ start, last }) => start <= last);
  return {
    ranges,
    alignment: max(a.alignment, b.alignment),
    mappingsAvailable: smaller(a.mappingsAvailable, b.mappingsAvailable),
  };
}

function smaller(
  a: number | undefined,
  b: number | undefined,
): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

const max = (a: bigint, b: bigint): bigint => a > b ? a : b;
const min = (a: bigint, b: bigint): bigint => a < b ? a : b;
