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
export const VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff;
export const VFIO_REGION_TYPE_GFX = 1;
export const VFIO_REGION_TYPE_CCW = 2;
export const VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3;

// Of PCI vendor 8086.
export const VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1;
export const VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2;
export const VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3;
/** Of PCI vendor 10de. No longer provided. */
export const VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1;
/** Of PCI vendor 1014. No longer provided. */
export const VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1;
// Of VFIO_REGION_TYPE_GFX.
export const VFIO_REGION_SUBTYPE_GFX_EDID = 1;
// Of VFIO_REGION_TYPE_CCW.
export const VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1;
export const VFIO_REGION_SUBTYPE_CCW_SCHIB = 2;
export const VFIO_REGION_SUBTYPE_CCW_CRW = 3;
// Of VFIO_REGION_TYPE_MIGRATION_DEPRECATED.
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
export const VFIO_DEVICE_GFX_LINK_STATE_UP = 1;
export const VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2;

/** The region may be mapped although the MSI-X table is inside; no contents. */
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;

/** No longer provided. */
export const VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4;
export const vfio_region_info_cap_nvlink2_ssatgt: Struct<{
  header: typeof vfio_info_cap_header;
  tgt: U64;
}> = struct("vfio_region_info_cap_nvlink2_ssatgt", {
  header: vfio_info_cap_header,
  tgt: u64,
});

/** No longer provided. */
export const VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5;
export const vfio_region_info_cap_nvlink2_lnkspd: Struct<{
  header: typeof vfio_info_cap_header;
  link_speed: U32;
  __pad: U32;
}> = struct("vfio_region_info_cap_nvlink2_lnkspd", {
  header: vfio_info_cap_header,
  link_speed: u32,
  __pad: u32,
});
