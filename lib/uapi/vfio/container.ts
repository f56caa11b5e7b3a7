/**
 * `linux/vfio.h`: the container (`/dev/vfio/vfio`) and the IOMMU group
 * (`/dev/vfio/$GROUP`).
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import {
  type Struct,
  struct,
  type U16,
  u16,
  type U32,
  u32,
} from "../layout.ts";

/** What VFIO_GET_API_VERSION has to answer. */
export const VFIO_API_VERSION = 0;

/** `';'`, the letter of VFIO's and iommufd's ioctls. */
export const VFIO_TYPE = 0x3b;
/** The number of VFIO's first ioctl. */
export const VFIO_BASE = 100;

// IOMMU types for VFIO_SET_IOMMU, and extensions for VFIO_CHECK_EXTENSION,
// share one set of numbers.
/** Memory is mapped page by page, as the IOMMUs of x86 and ARM do. */
export const VFIO_TYPE1_IOMMU = 1;
/** The IOMMU of PowerPC servers. */
export const VFIO_SPAPR_TCE_IOMMU = 2;
/** As type 1, but an unmap may not split a mapping. */
export const VFIO_TYPE1v2_IOMMU = 3;
/** The IOMMU enforces cache-coherent DMA. Changes with the groups. */
export const VFIO_DMA_CC_IOMMU = 4;
/** Extended error handling (PowerPC). */
export const VFIO_EEH = 5;
/** Was VFIO_TYPE1_NESTING_IOMMU; no kernel answers it any more. */
export const __VFIO_RESERVED_TYPE1_NESTING_IOMMU = 6;
/** The same, with memory pinned ahead. */
export const VFIO_SPAPR_TCE_v2_IOMMU = 7;
/** No translation and no isolation. Taints the kernel. */
export const VFIO_NOIOMMU_IOMMU = 8;
/** VFIO_DMA_UNMAP_FLAG_ALL is supported. */
export const VFIO_UNMAP_ALL = 9;
/** The VADDR flags of map and unmap are supported. Changes with the groups. */
export const VFIO_UPDATE_VADDR = 10;

/**
 * The head of each capability in the chain after an info struct. `next` counts
 * from the start of the info struct; 0 ends the chain.
 */
export const vfio_info_cap_header: Struct<{
  id: U16;
  version: U16;
  next: U32;
}> = struct("vfio_info_cap_header", {
  id: u16,
  version: u16,
  next: u32,
});

/** Answers VFIO_API_VERSION. */
export const VFIO_GET_API_VERSION: Ioctl = io(
  "VFIO_GET_API_VERSION",
  VFIO_TYPE,
  VFIO_BASE + 0,
  "none",
);

/** Answers 0, or a positive number where the extension is supported. */
export const VFIO_CHECK_EXTENSION: Ioctl = io(
  "VFIO_CHECK_EXTENSION",
  VFIO_TYPE,
  VFIO_BASE + 1,
  "value",
);

/** Needs a group in the container. */
export const VFIO_SET_IOMMU: Ioctl = io(
  "VFIO_SET_IOMMU",
  VFIO_TYPE,
  VFIO_BASE + 2,
  "value",
);

/** `flags` are VFIO_GROUP_FLAGS_*. */
export const vfio_group_status: Struct<{ argsz: U32; flags: U32 }> = struct(
  "vfio_group_status",
  {
    argsz: u32,
    flags: u32,
  },
);
/** Every function of the group is bound to a VFIO driver or to none. */
export const VFIO_GROUP_FLAGS_VIABLE = 1 << 0;
/** The group is in a container. */
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1;

/** Whether the group is viable, and in a container. */
export const VFIO_GROUP_GET_STATUS: Ioctl = io(
  "VFIO_GROUP_GET_STATUS",
  VFIO_TYPE,
  VFIO_BASE + 3,
  vfio_group_status,
);

/** Takes the container, or an iommufd in its place. */
export const VFIO_GROUP_SET_CONTAINER: Ioctl = io(
  "VFIO_GROUP_SET_CONTAINER",
  VFIO_TYPE,
  VFIO_BASE + 4,
  "fd",
);

/** EBUSY while a device of the group is open. */
export const VFIO_GROUP_UNSET_CONTAINER: Ioctl = io(
  "VFIO_GROUP_UNSET_CONTAINER",
  VFIO_TYPE,
  VFIO_BASE + 5,
  "none",
);

/**
 * Takes the device's name in sysfs, for a VF that needs it with a space and
 * `vf_token=UUID` after it. Answers the device's new fd.
 */
export const VFIO_GROUP_GET_DEVICE_FD: Ioctl = io(
  "VFIO_GROUP_GET_DEVICE_FD",
  VFIO_TYPE,
  VFIO_BASE + 6,
  "string",
);
