/**
 * `linux/iommufd.h`: hardware page tables (HWPT), dirty tracking and cache
 * invalidation.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import { IOMMUFD_TYPE } from "./ioas.ts";
import {
  array,
  type ArrayOf,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** The number of IOMMU_HWPT_ALLOC. */
export const IOMMUFD_CMD_HWPT_ALLOC = 0x89;
/** The number of IOMMU_HWPT_SET_DIRTY_TRACKING. */
export const IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8b;
/** The number of IOMMU_HWPT_GET_DIRTY_BITMAP. */
export const IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8c;
/** The number of IOMMU_HWPT_INVALIDATE. */
export const IOMMUFD_CMD_HWPT_INVALIDATE = 0x8d;

/** The new HWPT can be the parent of a guest's. */
export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0;
/** A device that cannot track dirty pages is refused. */
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1;
/** `fault_id` is valid. */
export const IOMMU_HWPT_FAULT_ID_VALID = 1 << 2;
/** The HWPT can be attached to a PASID. */
export const IOMMU_HWPT_ALLOC_PASID = 1 << 3;

/** `pt_id` is an IOAS, a parent HWPT or a vIOMMU. */
export const iommu_hwpt_alloc: Struct<{
  size: U32;
  flags: U32;
  dev_id: U32;
  pt_id: U32;
  out_hwpt_id: U32;
  __reserved: U32;
  data_type: U32;
  data_len: U32;
  data_uptr: U64;
  fault_id: U32;
  __reserved2: U32;
}> = struct("iommu_hwpt_alloc", {
  size: u32,
  flags: u32,
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  __reserved: u32,
  data_type: u32,
  data_len: u32,
  data_uptr: u64,
  fault_id: u32,
  __reserved2: u32,
});

/** Makes a hardware page table that suits one device. */
export const IOMMU_HWPT_ALLOC: Ioctl = io(
  "IOMMU_HWPT_ALLOC",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_HWPT_ALLOC,
  iommu_hwpt_alloc,
);

// `data_type`: what the struct at `data_uptr` is.
/** No struct: the kernel fills the table from an IOAS. */
export const IOMMU_HWPT_DATA_NONE = 0;
/** An `iommu_hwpt_vtd_s1`. */
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
/** An `iommu_hwpt_arm_smmuv3`. */
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2;
/** An `iommu_hwpt_amd_guest`. */
export const IOMMU_HWPT_DATA_AMD_GUEST = 3;

/** A guest's first-stage table on Intel VT-d. */
export const iommu_hwpt_vtd_s1: Struct<{
  flags: U64;
  pgtbl_addr: U64;
  addr_width: U32;
  __reserved: U32;
}> = struct("iommu_hwpt_vtd_s1", {
  flags: u64,
  pgtbl_addr: u64,
  addr_width: u32,
  __reserved: u32,
});
/** Supervisor requests. */
export const IOMMU_VTD_S1_SRE = 1 << 0;
/** Extended access flag. */
export const IOMMU_VTD_S1_EAFE = 1 << 1;
/** Write protection. */
export const IOMMU_VTD_S1_WPE = 1 << 2;

/** The first two words of a guest's stream table entry. */
export const iommu_hwpt_arm_smmuv3: Struct<{ ste: ArrayOf<bigint> }> = struct(
  "iommu_hwpt_arm_smmuv3",
  {
    ste: array(u64, 2),
  },
);

/** A guest's device table entry. */
export const iommu_hwpt_amd_guest: Struct<{ dte: ArrayOf<bigint> }> = struct(
  "iommu_hwpt_amd_guest",
  {
    dte: array(u64, 4),
  },
);

/** `flags` is IOMMU_HWPT_DIRTY_TRACKING_ENABLE, or 0 to stop. */
export const iommu_hwpt_set_dirty_tracking: Struct<{
  size: U32;
  flags: U32;
  hwpt_id: U32;
  __reserved: U32;
}> = struct("iommu_hwpt_set_dirty_tracking", {
  size: u32,
  flags: u32,
  hwpt_id: u32,
  __reserved: u32,
});
/** Record which pages devices write. */
export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

/** Starts or stops dirty tracking; a start clears what was recorded. */
export const IOMMU_HWPT_SET_DIRTY_TRACKING: Ioctl = io(
  "IOMMU_HWPT_SET_DIRTY_TRACKING",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING,
  iommu_hwpt_set_dirty_tracking,
);

/** `data` is the address of the bitmap, one bit for `page_size` bytes. */
export const iommu_hwpt_get_dirty_bitmap: Struct<{
  size: U32;
  hwpt_id: U32;
  flags: U32;
  __reserved: U32;
  iova: U64;
  length: U64;
  page_size: U64;
  data: U64;
}> = struct("iommu_hwpt_get_dirty_bitmap", {
  size: u32,
  hwpt_id: u32,
  flags: u32,
  __reserved: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  data: u64,
});
/** The pages stay dirty; cheaper where an unmap follows. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

/** Sets the bits of the pages that were written, and clears the record. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP: Ioctl = io(
  "IOMMU_HWPT_GET_DIRTY_BITMAP",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP,
  iommu_hwpt_get_dirty_bitmap,
);

/**
 * `data_uptr` is the address of `entry_num` requests of `entry_len` bytes;
 * `entry_num` comes back as how many were carried out.
 */
export const iommu_hwpt_invalidate: Struct<{
  size: U32;
  hwpt_id: U32;
  data_uptr: U64;
  data_type: U32;
  entry_len: U32;
  entry_num: U32;
  __reserved: U32;
}> = struct("iommu_hwpt_invalidate", {
  size: u32,
  hwpt_id: u32,
  data_uptr: u64,
  data_type: u32,
  entry_len: u32,
  entry_num: u32,
  __reserved: u32,
});
/** An `iommu_hwpt_vtd_s1_invalidate`. */
export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;
/** An `iommu_viommu_arm_smmuv3_invalidate`. */
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1;

/** Drops from the IOMMU's caches what a guest changed in its tables. */
export const IOMMU_HWPT_INVALIDATE: Ioctl = io(
  "IOMMU_HWPT_INVALIDATE",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_HWPT_INVALIDATE,
  iommu_hwpt_invalidate,
);

/** `npages` of 4 KiB; address 0 and 2⁶⁴-1 pages are everything. */
export const iommu_hwpt_vtd_s1_invalidate: Struct<{
  addr: U64;
  npages: U64;
  flags: U32;
  __reserved: U32;
}> = struct("iommu_hwpt_vtd_s1_invalidate", {
  addr: u64,
  npages: u64,
  flags: u32,
  __reserved: u32,
});
/** Only the last level is stale. */
export const IOMMU_VTD_INV_FLAGS_LEAF = 1 << 0;

/** A command of the SMMU's own queue. */
export const iommu_viommu_arm_smmuv3_invalidate: Struct<{
  cmd: ArrayOf<bigint>;
}> = struct("iommu_viommu_arm_smmuv3_invalidate", {
  cmd: array(u64, 2),
});
