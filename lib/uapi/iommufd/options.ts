/**
 * `linux/iommufd.h`: options, and what a whole iommufd is told.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import { IOMMUFD_TYPE } from "./ioas.ts";
import {
  type Struct,
  struct,
  type U16,
  u16,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** The number of IOMMU_OPTION. */
export const IOMMUFD_CMD_OPTION = 0x87;
/** The number of IOMMU_VFIO_IOAS. */
export const IOMMUFD_CMD_VFIO_IOAS = 0x88;
/** The number of IOMMU_IOAS_CHANGE_PROCESS. */
export const IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92;

/** Locked memory counts per user (0) or per process (1). Needs privilege. */
export const IOMMU_OPTION_RLIMIT_MODE = 0;
/** An IOAS may use large IOMMU pages (1) or not (0). */
export const IOMMU_OPTION_HUGE_PAGES = 1;
/** Set the option to `val64`. */
export const IOMMU_OPTION_OP_SET = 0;
/** Answer the option's value in `val64`. */
export const IOMMU_OPTION_OP_GET = 1;

/** `object_id` is 0 where the option is the whole iommufd's. */
export const iommu_option: Struct<{
  size: U32;
  option_id: U32;
  op: U16;
  __reserved: U16;
  object_id: U32;
  val64: U64;
}> = struct("iommu_option", {
  size: u32,
  option_id: u32,
  op: u16,
  __reserved: u16,
  object_id: u32,
  val64: u64,
});

/** Asks for one of IOMMU_OPTION_*, or sets it. */
export const IOMMU_OPTION: Ioctl = io(
  "IOMMU_OPTION",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_OPTION,
  iommu_option,
);

/** Answer the IOAS; ENODEV without one. */
export const IOMMU_VFIO_IOAS_GET = 0;
/** Take this IOAS. */
export const IOMMU_VFIO_IOAS_SET = 1;
/** Take none. */
export const IOMMU_VFIO_IOAS_CLEAR = 2;

/** `op` is one of IOMMU_VFIO_IOAS_*. */
export const iommu_vfio_ioas: Struct<{
  size: U32;
  ioas_id: U32;
  op: U16;
  __reserved: U16;
}> = struct("iommu_vfio_ioas", {
  size: u32,
  ioas_id: u32,
  op: u16,
  __reserved: u16,
});

/** The IOAS behind the container ioctls that an iommufd answers too. */
export const IOMMU_VFIO_IOAS: Ioctl = io(
  "IOMMU_VFIO_IOAS",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_VFIO_IOAS,
  iommu_vfio_ioas,
);

/** It has no further members yet. */
export const iommu_ioas_change_process: Struct<{
  size: U32;
  __reserved: U32;
}> = struct("iommu_ioas_change_process", {
  size: u32,
  __reserved: u32,
});

/** Counts all pinned memory as this process's. Only for mapped files. */
export const IOMMU_IOAS_CHANGE_PROCESS: Ioctl = io(
  "IOMMU_IOAS_CHANGE_PROCESS",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_CHANGE_PROCESS,
  iommu_ioas_change_process,
);
