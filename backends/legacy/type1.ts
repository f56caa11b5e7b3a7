import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { setPages, setUint64 } from "../../lib/uapi/layout.ts";
import {
  __VFIO_RESERVED_TYPE1_NESTING_IOMMU,
  VFIO_CHECK_EXTENSION,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UPDATE_VADDR,
} from "../../lib/uapi/vfio/container.ts";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  VFIO_IOMMU_UNMAP_DMA,
} from "../../lib/uapi/vfio/type1.ts";
import type {
  AttachTarget,
  ContainerVersion,
  DmaRange,
  IommuLimits,
} from "../backend.ts";
import { allocArgument, type Argument } from "../argument.ts";
import { mappingRefused, unsafeInterrupts } from "../explain.ts";
import { readInfo } from "../info.ts";
import type { ContainerIommu, IommuDriver } from "./container.ts";
import { decodeDirtyPageSize, decodeLimits } from "./limits.ts";

const MAP = vfio_iommu_type1_dma_map.offset;
const UNMAP = vfio_iommu_type1_dma_unmap.offset;
const READ = VFIO_DMA_MAP_FLAG_READ;
const READ_WRITE = READ | VFIO_DMA_MAP_FLAG_WRITE;

/** Three capabilities, and a few ranges of IOVAs, have room in these. */
const CAPABILITY_BYTES = 256;

/** The types of the versions. */
const TYPES: Readonly<Record<ContainerVersion, number>> = {
  v1: VFIO_TYPE1_IOMMU,
  v2: VFIO_TYPE1v2_IOMMU,
  nesting: __VFIO_RESERVED_TYPE1_NESTING_IOMMU,
};

/** The driver of most IOMMUs (`drivers/vfio/vfio_iommu_type1.c`). */
const TYPE1: IommuDriver = {
  // Version 2 first: it refuses an unmap that would split a mapping.
  types: [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU],
  open: (kernel, container) => new Type1(kernel, container),
  missing({ device }: AttachTarget): VfioError {
    return new VfioError("BACKEND_UNAVAILABLE", {
      device: device.name,
      problem: "the kernel has no type 1 IOMMU driver for containers",
      hint: "load it: modprobe vfio_iommu_type1",
    });
  },
  refused(target: AttachTarget, cause: unknown): VfioError | undefined {
    return hasErrno(cause, "EPERM")
      ? unsafeInterrupts(target, "vfio_iommu_type1", cause)
      : undefined;
  },
};

/**
 * The driver of most IOMMUs, in a version of it.
 *
 * @param version The version that is wanted. Default: the best that there is.
 */
export function type1(version?: ContainerVersion): IommuDriver {
  if (version === undefined) return TYPE1;
  return {
    ...TYPE1,
    types: [TYPES[version]],
    missing: (target) => noVersion(target, version),
    // A kernel that knows the type refuses it where the IOMMU lacks it.
    refused: (target, cause) =>
      hasErrno(cause, "EINVAL", "ENODEV")
        ? noVersion(target, version, cause)
        : TYPE1.refused(target, cause),
  };
}

function noVersion(
  { device }: AttachTarget,
  version: ContainerVersion,
  cause?: unknown,
): VfioError {
  return new VfioError("BACKEND_UNAVAILABLE", {
    device: device.name,
    problem: version === "nesting"
      ? "this kernel, or this IOMMU, nests no page tables in a container"
      : `the kernel has no containers of ${version}`,
    hint: version === "nesting"
      ? "only ARM's had it, before Linux 6.13; iommufd nests page tables: " +
        "NestedHwpt"
      : "load their driver: modprobe vfio_iommu_type1",
    cause,
  });
}

/** The type 1 IOMMU of a container. */
class Type1 implements ContainerIommu {
  readonly #kernel: Kernel;
  readonly #container: Fd;
  #map: Argument | undefined;
  #unmap: Argument | undefined;

  constructor(kernel: Kernel, container: Fd) {
    this.#kernel = kernel;
    this.#container = container;
  }

  map(range: DmaRange): void {
    const { bytes, view } = this.#map ??= allocArgument(
      vfio_iommu_type1_dma_map,
    );
    fillMap(view, range);
    try {
      this.#container.ioctl(VFIO_IOMMU_MAP_DMA, bytes);
    } catch (error) {
      throw mappingRefused(this.#kernel, "legacy", range, error);
    }
  }

  async mapAsync(range: DmaRange): Promise<void> {
    const argument = allocArgument(vfio_iommu_type1_dma_map);
    fillMap(argument.view, range);
    try {
      await this.#container.ioctlAsync(VFIO_IOMMU_MAP_DMA, argument.bytes);
    } catch (error) {
      throw mappingRefused(this.#kernel, "legacy", range, error);
    }
  }

  unmap({ page, bytes }: DmaRange): void {
    const argument = this.#unmap ??= allocArgument(vfio_iommu_type1_dma_unmap);
    setPages(argument.view, UNMAP.iova, page);
    setUint64(argument.view, UNMAP.size, bytes);
    this.#container.ioctl(VFIO_IOMMU_UNMAP_DMA, argument.bytes);
  }

  unmapAll(): void {
    // Kernels before 5.12 do not know the flag, and drop the mappings when the
    // last group leaves.
    const flags = VFIO_DMA_UNMAP_FLAG_ALL;
    this.#container.ioctl(
      VFIO_IOMMU_UNMAP_DMA,
      vfio_iommu_type1_dma_unmap.alloc({ flags }),
    );
  }

  dropAddresses(): void {
    const extension = BigInt(VFIO_UPDATE_VADDR);
    if (this.#container.ioctl(VFIO_CHECK_EXTENSION, extension) === 0) {
      throw new VfioError("NOT_SUPPORTED", {
        problem: "the container does not let go of this process's addresses",
        hint: "take Linux 5.12 or later, and no mediated device",
      });
    }
    const flags = VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL;
    this.#container.ioctl(
      VFIO_IOMMU_UNMAP_DMA,
      vfio_iommu_type1_dma_unmap.alloc({ flags }),
    );
  }

  updateAddress({ iova, bytes, address }: DmaRange): void {
    this.#container.ioctl(
      VFIO_IOMMU_MAP_DMA,
      vfio_iommu_type1_dma_map.alloc({
        flags: VFIO_DMA_MAP_FLAG_VADDR,
        vaddr: address,
        iova,
        size: BigInt(bytes),
      }),
    );
  }

  limits(): IommuLimits {
    return decodeLimits(this.#info());
  }

  dirtyPageSize(): number | undefined {
    return decodeDirtyPageSize(this.#info());
  }

  #info(): Uint8Array {
    return readInfo(
      (argument) => this.#container.ioctl(VFIO_IOMMU_GET_INFO, argument),
      vfio_iommu_type1_info,
      undefined,
      CAPABILITY_BYTES,
    );
  }
}

// A container maps what this process sees, also of a file.
function fillMap(view: DataView, range: DmaRange): void {
  const { page, address, bytes, writable } = range;
  if (address === 0n) throw unseen(range);
  view.setUint32(MAP.flags, writable ? READ_WRITE : READ, true);
  view.setBigUint64(MAP.vaddr, address, true);
  setPages(view, MAP.iova, page);
  setUint64(view, MAP.size, bytes);
}

function unseen({ bytes }: DmaRange): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    problem: `a container cannot map ${bytes} bytes of a dma-buf: it maps ` +
      "what this process sees",
    hint: "take the iommufd backend",
  });
}
