/**
 * `linux/vfio.h`: the IOMMU of PowerPC servers, and extended error handling
 * (EEH).
 *
 * @module
 */

import { io, type Ioctl } from "./ioctl.ts";
import { struct, u32, u64 } from "./layout.ts";
import { VFIO_BASE, VFIO_TYPE } from "./vfio_container.ts";

/** Dynamic DMA windows. */
export const vfio_iommu_spapr_tce_ddw_info = struct(
  "vfio_iommu_spapr_tce_ddw_info",
  {
    pgsizes: u64,
    max_dynamic_windows_supported: u32,
    levels: u32,
  },
);

export const vfio_iommu_spapr_tce_info = struct("vfio_iommu_spapr_tce_info", {
  argsz: u32,
  flags: u32,
  dma32_window_start: u32,
  dma32_window_size: u32,
  ddw: vfio_iommu_spapr_tce_ddw_info,
});
/** `ddw` is valid. */
export const VFIO_IOMMU_SPAPR_INFO_DDW = 1 << 0;

export const VFIO_IOMMU_SPAPR_TCE_GET_INFO: Ioctl = io(
  "VFIO_IOMMU_SPAPR_TCE_GET_INFO",
  VFIO_TYPE,
  VFIO_BASE + 12,
  vfio_iommu_spapr_tce_info,
);

export const vfio_eeh_pe_err = struct("vfio_eeh_pe_err", {
  type: u32,
  func: u32,
  addr: u64,
  mask: u64,
});

/** `err` only to inject an error. */
export const vfio_eeh_pe_op = struct("vfio_eeh_pe_op", {
  argsz: u32,
  flags: u32,
  op: u32,
  err: vfio_eeh_pe_err,
});
export const VFIO_EEH_PE_DISABLE = 0;
export const VFIO_EEH_PE_ENABLE = 1;
export const VFIO_EEH_PE_UNFREEZE_IO = 2;
export const VFIO_EEH_PE_UNFREEZE_DMA = 3;
/** Answers one of VFIO_EEH_PE_STATE_*. */
export const VFIO_EEH_PE_GET_STATE = 4;
export const VFIO_EEH_PE_STATE_NORMAL = 0;
export const VFIO_EEH_PE_STATE_RESET = 1;
export const VFIO_EEH_PE_STATE_STOPPED = 2;
export const VFIO_EEH_PE_STATE_STOPPED_DMA = 4;
export const VFIO_EEH_PE_STATE_UNAVAIL = 5;
export const VFIO_EEH_PE_RESET_DEACTIVATE = 5;
export const VFIO_EEH_PE_RESET_HOT = 6;
export const VFIO_EEH_PE_RESET_FUNDAMENTAL = 7;
export const VFIO_EEH_PE_CONFIGURE = 8;
export const VFIO_EEH_PE_INJECT_ERR = 9;

export const VFIO_EEH_PE_OP: Ioctl = io(
  "VFIO_EEH_PE_OP",
  VFIO_TYPE,
  VFIO_BASE + 21,
  vfio_eeh_pe_op,
);

export const vfio_iommu_spapr_register_memory = struct(
  "vfio_iommu_spapr_register_memory",
  {
    argsz: u32,
    flags: u32,
    vaddr: u64,
    size: u64,
  },
);

/** Pins memory ahead of mapping it. */
export const VFIO_IOMMU_SPAPR_REGISTER_MEMORY: Ioctl = io(
  "VFIO_IOMMU_SPAPR_REGISTER_MEMORY",
  VFIO_TYPE,
  VFIO_BASE + 17,
  vfio_iommu_spapr_register_memory,
);

export const VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: Ioctl = io(
  "VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY",
  VFIO_TYPE,
  VFIO_BASE + 18,
  vfio_iommu_spapr_register_memory,
);

/** `start_addr` comes back as the new window's address on the bus. */
export const vfio_iommu_spapr_tce_create = struct(
  "vfio_iommu_spapr_tce_create",
  {
    argsz: u32,
    flags: u32,
    page_shift: u32,
    __resv1: u32,
    window_size: u64,
    levels: u32,
    __resv2: u32,
    start_addr: u64,
  },
);

export const VFIO_IOMMU_SPAPR_TCE_CREATE: Ioctl = io(
  "VFIO_IOMMU_SPAPR_TCE_CREATE",
  VFIO_TYPE,
  VFIO_BASE + 19,
  vfio_iommu_spapr_tce_create,
);

export const vfio_iommu_spapr_tce_remove = struct(
  "vfio_iommu_spapr_tce_remove",
  {
    argsz: u32,
    flags: u32,
    start_addr: u64,
  },
);

export const VFIO_IOMMU_SPAPR_TCE_REMOVE: Ioctl = io(
  "VFIO_IOMMU_SPAPR_TCE_REMOVE",
  VFIO_TYPE,
  VFIO_BASE + 20,
  vfio_iommu_spapr_tce_remove,
);
