import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { setPages, setUint64 } from "../../lib/uapi/layout.ts";
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../../lib/uapi/vfio/container.ts";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  VFIO_IOMMU_UNMAP_DMA,
} from "../../lib/uapi/vfio/type1.ts";
import type { AttachTarget, DmaRange, IommuLimits } from "../backend.ts";
import {
  ignoreErrors,
  keptMapped,
  mappingRefused,
  nodeRefused,
  openNode,
  unsafeInterrupts,
} from "../explain.ts";
import { readInfo } from "../info.ts";
import { decodeLimits } from "./limits.ts";

/** The node behind which every container is made. */
const CONTAINER_NODE = "/dev/vfio/vfio";

const MAP = vfio_iommu_type1_dma_map.offset;
const UNMAP = vfio_iommu_type1_dma_unmap.offset;
const READ = VFIO_DMA_MAP_FLAG_READ;
const READ_WRITE = READ | VFIO_DMA_MAP_FLAG_WRITE;

/** A container with an IOMMU set. */
export class Container {
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
      // vfio_container_attach_group() in drivers/vfio/container.c
      if (hasErrno(error, "EPERM") && target.noIommu) {
        throw new VfioError("PERMISSION_DENIED", {
          device: target.device.name,
          problem: "only who has CAP_SYS_RAWIO may have a device without an " +
            "IOMMU",
          hint: "run as root, or give the process that capability",
          cause: error,
        });
      }
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
    const { page, address, bytes, writable } = range;
    const view = this.#mapView;
    view.setUint32(MAP.flags, writable ? READ_WRITE : READ, true);
    view.setBigUint64(MAP.vaddr, address, true);
    setPages(view, MAP.iova, page);
    setUint64(view, MAP.size, bytes);
    try {
      this.#fd.ioctl(VFIO_IOMMU_MAP_DMA, this.#map);
    } catch (error) {
      throw mappingRefused(this.#kernel, "legacy", range, error);
    }
  }

  unmap({ page, bytes }: DmaRange): void {
    setPages(this.#unmapView, UNMAP.iova, page);
    setUint64(this.#unmapView, UNMAP.size, bytes);
    this.#fd.ioctl(VFIO_IOMMU_UNMAP_DMA, this.#unmap);
  }

  limits(): IommuLimits {
    if (this.#type === VFIO_NOIOMMU_IOMMU) {
      const alignment = BigInt(this.#kernel.pageSize);
      return { ranges: [], alignment, mappingsAvailable: undefined };
    }
    return decodeLimits(readInfo(
      (argument) => this.#fd.ioctl(VFIO_IOMMU_GET_INFO, argument),
      vfio_iommu_type1_info,
    ));
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
