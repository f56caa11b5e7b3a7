/**
 * `linux/vfio.h`: the type 1 IOMMU of a container.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import {
  type Flexible,
  flexible,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
  type U8,
  u8,
} from "../layout.ts";
import { VFIO_BASE, vfio_info_cap_header, VFIO_TYPE } from "./container.ts";

/** `cap_offset` and `pad` are not in the oldest kernels, which ignore them. */
export const vfio_iommu_type1_info: Struct<{
  argsz: U32;
  flags: U32;
  iova_pgsizes: U64;
  cap_offset: U32;
  pad: U32;
}> = struct("vfio_iommu_type1_info", {
  argsz: u32,
  flags: u32,
  iova_pgsizes: u64,
  cap_offset: u32,
  pad: u32,
});
/** `iova_pgsizes` is valid. */
export const VFIO_IOMMU_INFO_PGSIZES = 1 << 0;
/** A capability chain follows. */
export const VFIO_IOMMU_INFO_CAPS = 1 << 1;

/** A `vfio_iommu_type1_info_cap_iova_range`. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;

/** `end` is inclusive. */
export const vfio_iova_range: Struct<{ start: U64; end: U64 }> = struct(
  "vfio_iova_range",
  {
    start: u64,
    end: u64,
  },
);

/** The IOVAs that can be mapped. */
export const vfio_iommu_type1_info_cap_iova_range: Struct<{
  header: typeof vfio_info_cap_header;
  nr_iovas: U32;
  reserved: U32;
  iova_ranges: Flexible<typeof vfio_iova_range>;
}> = struct("vfio_iommu_type1_info_cap_iova_range", {
  header: vfio_info_cap_header,
  nr_iovas: u32,
  reserved: u32,
  iova_ranges: flexible(vfio_iova_range),
});

/** A `vfio_iommu_type1_info_cap_migration`. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;

/** Present where dirty pages can be logged. */
export const vfio_iommu_type1_info_cap_migration: Struct<{
  header: typeof vfio_info_cap_header;
  flags: U32;
  pgsize_bitmap: U64;
  max_dirty_bitmap_size: U64;
}> = struct("vfio_iommu_type1_info_cap_migration", {
  header: vfio_info_cap_header,
  flags: u32,
  pgsize_bitmap: u64,
  max_dirty_bitmap_size: u64,
});

/** A `vfio_iommu_type1_info_dma_avail`. */
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

/** How many more mappings the container takes. */
export const vfio_iommu_type1_info_dma_avail: Struct<{
  header: typeof vfio_info_cap_header;
  avail: U32;
}> = struct("vfio_iommu_type1_info_dma_avail", {
  header: vfio_info_cap_header,
  avail: u32,
});

/** Page sizes, usable IOVAs and limits of the container. */
export const VFIO_IOMMU_GET_INFO: Ioctl = io(
  "VFIO_IOMMU_GET_INFO",
  VFIO_TYPE,
  VFIO_BASE + 12,
  vfio_iommu_type1_info,
);

/** `vaddr` is the memory's address in this process. */
export const vfio_iommu_type1_dma_map: Struct<{
  argsz: U32;
  flags: U32;
  vaddr: U64;
  iova: U64;
  size: U64;
}> = struct("vfio_iommu_type1_dma_map", {
  argsz: u32,
  flags: u32,
  vaddr: u64,
  iova: u64,
  size: u64,
});
/** The device may read. */
export const VFIO_DMA_MAP_FLAG_READ = 1 << 0;
/** The device may write. */
export const VFIO_DMA_MAP_FLAG_WRITE = 1 << 1;
/** Only a new `vaddr` for a mapping that VFIO_DMA_UNMAP_FLAG_VADDR froze. */
export const VFIO_DMA_MAP_FLAG_VADDR = 1 << 2;

/** Pins memory of this process and maps it. */
export const VFIO_IOMMU_MAP_DMA: Ioctl = io(
  "VFIO_IOMMU_MAP_DMA",
  VFIO_TYPE,
  VFIO_BASE + 13,
  vfio_iommu_type1_dma_map,
);

/** `data` is the address of the bitmap, one bit a page of `pgsize` bytes. */
export const vfio_bitmap: Struct<{
  pgsize: U64;
  size: U64;
  data: U64;
}> = struct("vfio_bitmap", {
  pgsize: u64,
  size: u64,
  data: u64,
});

/** `size` comes back as what was unmapped. */
export const vfio_iommu_type1_dma_unmap: Struct<{
  argsz: U32;
  flags: U32;
  iova: U64;
  size: U64;
  data: Flexible<U8>;
}> = struct("vfio_iommu_type1_dma_unmap", {
  argsz: u32,
  flags: u32,
  iova: u64,
  size: u64,
  data: flexible(u8),
});
/** A `vfio_bitmap` follows in `data`. */
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0;
/** Everything; `iova` and `size` are 0. */
export const VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1;
/** The pages stay mapped; only their addresses in this process are dropped. */
export const VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2;

/** Removes the mappings that lie in a range. */
export const VFIO_IOMMU_UNMAP_DMA: Ioctl = io(
  "VFIO_IOMMU_UNMAP_DMA",
  VFIO_TYPE,
  VFIO_BASE + 14,
  vfio_iommu_type1_dma_unmap,
);

/** Needed by sPAPR only. */
export const VFIO_IOMMU_ENABLE: Ioctl = io(
  "VFIO_IOMMU_ENABLE",
  VFIO_TYPE,
  VFIO_BASE + 15,
  "none",
);

/** Needed by sPAPR only. */
export const VFIO_IOMMU_DISABLE: Ioctl = io(
  "VFIO_IOMMU_DISABLE",
  VFIO_TYPE,
  VFIO_BASE + 16,
  "none",
);

/** `flags` are VFIO_IOMMU_DIRTY_PAGES_FLAG_*. */
export const vfio_iommu_type1_dirty_bitmap: Struct<{
  argsz: U32;
  flags: U32;
  data: Flexible<U8>;
}> = struct("vfio_iommu_type1_dirty_bitmap", {
  argsz: u32,
  flags: u32,
  data: flexible(u8),
});
/** Start to log dirty pages. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1 << 0;
/** Stop to log dirty pages. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1 << 1;
/** A `vfio_iommu_type1_dirty_bitmap_get` follows in `data`. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1 << 2;

/** `iova` and `size` say which pages are asked for. */
export const vfio_iommu_type1_dirty_bitmap_get: Struct<{
  iova: U64;
  size: U64;
  bitmap: typeof vfio_bitmap;
}> = struct("vfio_iommu_type1_dirty_bitmap_get", {
  iova: u64,
  size: u64,
  bitmap: vfio_bitmap,
});

/** Exactly one flag a call. */
export const VFIO_IOMMU_DIRTY_PAGES: Ioctl = io(
  "VFIO_IOMMU_DIRTY_PAGES",
  VFIO_TYPE,
  VFIO_BASE + 17,
  vfio_iommu_type1_dirty_bitmap,
);
