/**
 * `linux/iommufd.h`: what the IOMMU behind a device can do.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import { IOMMUFD_TYPE } from "./ioas.ts";
import {
  array,
  type ArrayOf,
  type Bytes,
  bytes,
  type Overlay,
  overlay,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
  type U8,
  u8,
} from "../layout.ts";

/** The number of IOMMU_GET_HW_INFO. */
export const IOMMUFD_CMD_GET_HW_INFO = 0x8a;

/**
 * `data_len` goes in as the length of the buffer at `data_uptr`, and comes
 * back as what the kernel has to say.
 */
export const iommu_hw_info: Struct<{
  size: U32;
  flags: U32;
  dev_id: U32;
  data_len: U32;
  data_uptr: U64;
  in_data_type: U32;
  out_data_type: Overlay<number>;
  out_max_pasid_log2: U8;
  __reserved: Bytes;
  out_capabilities: U64;
}> = struct("iommu_hw_info", {
  size: u32,
  flags: u32,
  dev_id: u32,
  data_len: u32,
  data_uptr: u64,
  in_data_type: u32,
  out_data_type: overlay("in_data_type", u32),
  out_max_pasid_log2: u8,
  __reserved: bytes(3),
  out_capabilities: u64,
});
/** `in_data_type` is valid. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1 << 0;

// `out_capabilities`.
/** The IOMMU can record which pages the device writes. */
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1 << 0;
/** The device's PASID requests may ask to execute. */
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 1 << 1;
/** The device's PASID requests may ask with privilege. */
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 1 << 2;
/** The device must not use address translation services (ATS). */
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 1 << 3;

/** What the IOMMU behind a device can do. */
export const IOMMU_GET_HW_INFO: Ioctl = io(
  "IOMMU_GET_HW_INFO",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_GET_HW_INFO,
  iommu_hw_info,
);

/** As `out_data_type`: the driver has nothing to tell. */
export const IOMMU_HW_INFO_TYPE_NONE = 0;
/** As `in_data_type`: whichever struct the driver has. */
export const IOMMU_HW_INFO_TYPE_DEFAULT = 0;
/** An `iommu_hw_info_vtd`. */
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
/** An `iommu_hw_info_arm_smmuv3`. */
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
/** An `iommu_hw_info_tegra241_cmdqv`. */
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;
/** An `iommu_hw_info_amd`. */
export const IOMMU_HW_INFO_TYPE_AMD = 4;

/** The capability registers of Intel VT-d. */
export const iommu_hw_info_vtd: Struct<{
  flags: U32;
  __reserved: U32;
  cap_reg: U64;
  ecap_reg: U64;
}> = struct("iommu_hw_info_vtd", {
  flags: u32,
  __reserved: u32,
  cap_reg: u64,
  ecap_reg: u64,
});
/** A parent of a guest's HWPT must not have read-only mappings. */
export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1 << 0;

/** The identification registers of an ARM SMMUv3. */
export const iommu_hw_info_arm_smmuv3: Struct<{
  flags: U32;
  __reserved: U32;
  idr: ArrayOf<number>;
  iidr: U32;
  aidr: U32;
}> = struct("iommu_hw_info_arm_smmuv3", {
  flags: u32,
  __reserved: u32,
  idr: array(u32, 6),
  iidr: u32,
  aidr: u32,
});
/** Invalidations have to be issued twice. */
export const IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI = 1 << 0;

/** The command queue virtualization of a Tegra241; logarithms to base 2. */
export const iommu_hw_info_tegra241_cmdqv: Struct<{
  flags: U32;
  version: U8;
  log2vcmdqs: U8;
  log2vsids: U8;
  __reserved: U8;
}> = struct("iommu_hw_info_tegra241_cmdqv", {
  flags: u32,
  version: u8,
  log2vcmdqs: u8,
  log2vsids: u8,
  __reserved: u8,
});

/** The extended feature registers of an AMD IOMMU. */
export const iommu_hw_info_amd: Struct<{ efr: U64; efr2: U64 }> = struct(
  "iommu_hw_info_amd",
  {
    efr: u64,
    efr2: u64,
  },
);
