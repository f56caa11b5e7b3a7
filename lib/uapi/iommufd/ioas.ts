/**
 * `linux/iommufd.h`: IO address spaces (IOAS), and what concerns all objects.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import {
  type I32,
  i32,
  type Struct,
  struct,
  type U16,
  u16,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** `';'`, shared with VFIO. */
export const IOMMUFD_TYPE = 0x3b;
export const IOMMUFD_CMD_BASE = 0x80;
export const IOMMUFD_CMD_DESTROY = 0x80;
export const IOMMUFD_CMD_IOAS_ALLOC = 0x81;
export const IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82;
export const IOMMUFD_CMD_IOAS_COPY = 0x83;
export const IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84;
export const IOMMUFD_CMD_IOAS_MAP = 0x85;
export const IOMMUFD_CMD_IOAS_UNMAP = 0x86;
export const IOMMUFD_CMD_OPTION = 0x87;
export const IOMMUFD_CMD_VFIO_IOAS = 0x88;
export const IOMMUFD_CMD_IOAS_MAP_FILE = 0x8f;
export const IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92;
export const IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA = 0x95;

/** `id` is any object that was allocated. */
export const iommu_destroy: Struct<{ size: U32; id: U32 }> = struct(
  "iommu_destroy",
  {
    size: u32,
    id: u32,
  },
);

/** EBUSY while another object uses it. */
export const IOMMU_DESTROY: Ioctl = io(
  "IOMMU_DESTROY",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_DESTROY,
  iommu_destroy,
);

export const iommu_ioas_alloc: Struct<{
  size: U32;
  flags: U32;
  out_ioas_id: U32;
}> = struct("iommu_ioas_alloc", {
  size: u32,
  flags: u32,
  out_ioas_id: u32,
});

export const IOMMU_IOAS_ALLOC: Ioctl = io(
  "IOMMU_IOAS_ALLOC",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_ALLOC,
  iommu_ioas_alloc,
);

/** `last` is inclusive. */
export const iommu_iova_range: Struct<{ start: U64; last: U64 }> = struct(
  "iommu_iova_range",
  {
    start: u64,
    last: u64,
  },
);

/** `allowed_iovas` is the address of `num_iovas` times `iommu_iova_range`. */
export const iommu_ioas_iova_ranges: Struct<{
  size: U32;
  ioas_id: U32;
  num_iovas: U32;
  __reserved: U32;
  allowed_iovas: U64;
  out_iova_alignment: U64;
}> = struct("iommu_ioas_iova_ranges", {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
  out_iova_alignment: u64,
});

/** EMSGSIZE, and `num_iovas` as needed, where the array is too short. */
export const IOMMU_IOAS_IOVA_RANGES: Ioctl = io(
  "IOMMU_IOAS_IOVA_RANGES",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_IOVA_RANGES,
  iommu_ioas_iova_ranges,
);

export const iommu_ioas_allow_iovas: Struct<{
  size: U32;
  ioas_id: U32;
  num_iovas: U32;
  __reserved: U32;
  allowed_iovas: U64;
}> = struct("iommu_ioas_allow_iovas", {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
});

/** A device that would narrow these ranges is refused from now on. */
export const IOMMU_IOAS_ALLOW_IOVAS: Ioctl = io(
  "IOMMU_IOAS_ALLOW_IOVAS",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_ALLOW_IOVAS,
  iommu_ioas_allow_iovas,
);

/** Map at the given IOVA; else the kernel chooses one. */
export const IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0;
/** The device may write. */
export const IOMMU_IOAS_MAP_WRITEABLE = 1 << 1;
/** The device may read. */
export const IOMMU_IOAS_MAP_READABLE = 1 << 2;

export const iommu_ioas_map: Struct<{
  size: U32;
  flags: U32;
  ioas_id: U32;
  __reserved: U32;
  user_va: U64;
  length: U64;
  iova: U64;
}> = struct("iommu_ioas_map", {
  size: u32,
  flags: u32,
  ioas_id: u32,
  __reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64,
});

export const IOMMU_IOAS_MAP: Ioctl = io(
  "IOMMU_IOAS_MAP",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_MAP,
  iommu_ioas_map,
);

/** `length` comes back as what is physically contiguous from `out_phys` on. */
export const iommu_ioas_noiommu_get_pa: Struct<{
  size: U32;
  flags: U32;
  ioas_id: U32;
  __reserved: U32;
  iova: U64;
  length: U64;
  out_phys: U64;
}> = struct("iommu_ioas_noiommu_get_pa", {
  size: u32,
  flags: u32,
  ioas_id: u32,
  __reserved: u32,
  iova: u64,
  length: u64,
  out_phys: u64,
});

/** The physical address behind an IOVA, for devices without an IOMMU. */
export const IOMMU_IOAS_NOIOMMU_GET_PA: Ioctl = io(
  "IOMMU_IOAS_NOIOMMU_GET_PA",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA,
  iommu_ioas_noiommu_get_pa,
);

/** `fd` is a memfd, or a dma-buf made with VFIO_DEVICE_FEATURE_DMA_BUF. */
export const iommu_ioas_map_file: Struct<{
  size: U32;
  flags: U32;
  ioas_id: U32;
  fd: I32;
  start: U64;
  length: U64;
  iova: U64;
}> = struct("iommu_ioas_map_file", {
  size: u32,
  flags: u32,
  ioas_id: u32,
  fd: i32,
  start: u64,
  length: u64,
  iova: u64,
});

export const IOMMU_IOAS_MAP_FILE: Ioctl = io(
  "IOMMU_IOAS_MAP_FILE",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_MAP_FILE,
  iommu_ioas_map_file,
);

export const iommu_ioas_copy: Struct<{
  size: U32;
  flags: U32;
  dst_ioas_id: U32;
  src_ioas_id: U32;
  length: U64;
  dst_iova: U64;
  src_iova: U64;
}> = struct("iommu_ioas_copy", {
  size: u32,
  flags: u32,
  dst_ioas_id: u32,
  src_ioas_id: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});

/** Takes over a whole mapping of another IOAS without pinning it again. */
export const IOMMU_IOAS_COPY: Ioctl = io(
  "IOMMU_IOAS_COPY",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_COPY,
  iommu_ioas_copy,
);

/** `length` comes back as what was unmapped; 0 and 2⁶⁴-1 unmap everything. */
export const iommu_ioas_unmap: Struct<{
  size: U32;
  ioas_id: U32;
  iova: U64;
  length: U64;
}> = struct("iommu_ioas_unmap", {
  size: u32,
  ioas_id: u32,
  iova: u64,
  length: u64,
});

/** ENOENT where nothing was mapped, except when unmapping everything. */
export const IOMMU_IOAS_UNMAP: Ioctl = io(
  "IOMMU_IOAS_UNMAP",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_UNMAP,
  iommu_ioas_unmap,
);

/** Locked memory counts per user (0) or per process (1). Needs privilege. */
export const IOMMU_OPTION_RLIMIT_MODE = 0;
/** An IOAS may use large IOMMU pages (1) or not (0). */
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

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

export const IOMMU_OPTION: Ioctl = io(
  "IOMMU_OPTION",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_OPTION,
  iommu_option,
);

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

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
