/**
 * `linux/vfio.h`: the capabilities of a region, and device-specific regions.
 *
 * @module
 */

import {
  type Flexible,
  flexible,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";
import { vfio_info_cap_header } from "./container.ts";

/** A `vfio_region_info_cap_sparse_mmap`. */
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;

/** `offset` counts from the start of the region. */
export const vfio_region_sparse_mmap_area: Struct<{
  offset: U64;
  size: U64;
}> = struct("vfio_region_sparse_mmap_area", {
  offset: u64,
  size: u64,
});

/** Only these parts of the region may be mapped. */
export const vfio_region_info_cap_sparse_mmap: Struct<{
  header: typeof vfio_info_cap_header;
  nr_areas: U32;
  reserved: U32;
  areas: Flexible<typeof vfio_region_sparse_mmap_area>;
}> = struct("vfio_region_info_cap_sparse_mmap", {
  header: vfio_info_cap_header,
  nr_areas: u32,
  reserved: u32,
  areas: flexible(vfio_region_sparse_mmap_area),
});

/** A `vfio_region_info_cap_type`. */
export const VFIO_REGION_INFO_CAP_TYPE = 2;

/** What a region beyond the fixed indexes is. */
export const vfio_region_info_cap_type: Struct<{
  header: typeof vfio_info_cap_header;
  type: U32;
  subtype: U32;
}> = struct("vfio_region_info_cap_type", {
  header: vfio_info_cap_header,
  type: u32,
  subtype: u32,
});

/** Set in `type` where the rest of it is a PCI vendor id. */
export const VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 0x8000_0000;
/** The vendor id in such a `type`. */
export const VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff;
/** Of a virtual GPU. */
export const VFIO_REGION_TYPE_GFX = 1;
/** Of an s390 channel device. */
export const VFIO_REGION_TYPE_CCW = 2;
/** Of the first migration protocol. */
export const VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3;

// Of PCI vendor 8086.
/** The OpRegion of Intel's graphics. */
export const VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1;
/** Config space of the host bridge, read-only. */
export const VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2;
/** Config space of the LPC bridge, read-only. */
export const VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3;
/** Of PCI vendor 10de. No longer provided. */
export const VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1;
/** Of PCI vendor 1014. No longer provided. */
export const VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1;
// Of VFIO_REGION_TYPE_GFX.
/** A display's EDID; begins with a `vfio_region_gfx_edid`. */
export const VFIO_REGION_SUBTYPE_GFX_EDID = 1;
// Of VFIO_REGION_TYPE_CCW.
/** Commands that halt or clear the subchannel. */
export const VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1;
/** The subchannel information block. */
export const VFIO_REGION_SUBTYPE_CCW_SCHIB = 2;
/** Channel report words. */
export const VFIO_REGION_SUBTYPE_CCW_CRW = 3;
// Of VFIO_REGION_TYPE_MIGRATION_DEPRECATED.
/** Begins with a `vfio_device_migration_info`. */
export const VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1;

/**
 * The beginning of a VFIO_REGION_SUBTYPE_GFX_EDID region. To change the EDID
 * blob: link down, new blob and `edid_size`, link up.
 */
export const vfio_region_gfx_edid: Struct<{
  edid_offset: U32;
  edid_max_size: U32;
  edid_size: U32;
  max_xres: U32;
  max_yres: U32;
  link_state: U32;
}> = struct("vfio_region_gfx_edid", {
  edid_offset: u32,
  edid_max_size: u32,
  edid_size: u32,
  max_xres: u32,
  max_yres: u32,
  link_state: u32,
});
/** A monitor is plugged in. */
export const VFIO_DEVICE_GFX_LINK_STATE_UP = 1;
/** No monitor is plugged in. */
export const VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2;

/** The region may be mapped although the MSI-X table is inside; no contents. */
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;

/** No longer provided. */
export const VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4;
/** `tgt` is the region's address in the GPU's memory space. */
export const vfio_region_info_cap_nvlink2_ssatgt: Struct<{
  header: typeof vfio_info_cap_header;
  tgt: U64;
}> = struct("vfio_region_info_cap_nvlink2_ssatgt", {
  header: vfio_info_cap_header,
  tgt: u64,
});

/** No longer provided. */
export const VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5;
/** `link_speed` is the NVLink bridge's. */
export const vfio_region_info_cap_nvlink2_lnkspd: Struct<{
  header: typeof vfio_info_cap_header;
  link_speed: U32;
  __pad: U32;
}> = struct("vfio_region_info_cap_nvlink2_lnkspd", {
  header: vfio_info_cap_header,
  link_speed: u32,
  __pad: u32,
});
