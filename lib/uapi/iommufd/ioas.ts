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
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** `';'`, shared with VFIO. */
export const IOMMUFD_TYPE = 0x3b;
/** The number of iommufd's first ioctl. */
export const IOMMUFD_CMD_BASE = 0x80;
/** The number of IOMMU_DESTROY. */
export const IOMMUFD_CMD_DESTROY = 0x80;
/** The number of IOMMU_IOAS_ALLOC. */
export const IOMMUFD_CMD_IOAS_ALLOC = 0x81;
/** The number of IOMMU_IOAS_ALLOW_IOVAS. */
export const IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82;
/** The number of IOMMU_IOAS_COPY. */
export const IOMMUFD_CMD_IOAS_COPY = 0x83;
/** The number of IOMMU_IOAS_IOVA_RANGES. */
export const IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84;
/** The number of IOMMU_IOAS_MAP. */
export const IOMMUFD_CMD_IOAS_MAP = 0x85;
/** The number of IOMMU_IOAS_UNMAP. */
export const IOMMUFD_CMD_IOAS_UNMAP = 0x86;
/** The number of IOMMU_IOAS_MAP_FILE. */
export const IOMMUFD_CMD_IOAS_MAP_FILE = 0x8f;
/** The number of IOMMU_IOAS_NOIOMMU_GET_PA. */
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

/** `flags` is 0. */
export const iommu_ioas_alloc: Struct<{
  size: U32;
  flags: U32;
  out_ioas_id: U32;
}> = struct("iommu_ioas_alloc", {
  size: u32,
  flags: u32,
  out_ioas_id: u32,
});

/** Makes an IO address space (IOAS), without a mapping. */
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

/** `allowed_iovas` is the address of `num_iovas` times `iommu_iova_range`. */
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

/** `user_va` is the memory's address in this process. */
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

/** Pins memory of this process and maps it into an IOAS. */
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

/** Maps memory of a file, wherever this process has it mapped itself. */
export const IOMMU_IOAS_MAP_FILE: Ioctl = io(
  "IOMMU_IOAS_MAP_FILE",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_IOAS_MAP_FILE,
  iommu_ioas_map_file,
);

/** `flags` are those of a mapping, IOMMU_IOAS_MAP_*. */
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
