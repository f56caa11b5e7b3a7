/**
 * `linux/iommufd.h`: a virtual machine's slice of an IOMMU: virtual IOMMU
 * (vIOMMU), virtual device, virtual event queue and hardware queue.
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

/** The number of IOMMU_VIOMMU_ALLOC. */
export const IOMMUFD_CMD_VIOMMU_ALLOC = 0x90;
/** The number of IOMMU_VDEVICE_ALLOC. */
export const IOMMUFD_CMD_VDEVICE_ALLOC = 0x91;
/** The number of IOMMU_VEVENTQ_ALLOC. */
export const IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93;
/** The number of IOMMU_HW_QUEUE_ALLOC. */
export const IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94;

/** `hwpt_id` is a parent HWPT; `data_uptr` the address of the type's struct. */
export const iommu_viommu_alloc: Struct<{
  size: U32;
  flags: U32;
  type: U32;
  dev_id: U32;
  hwpt_id: U32;
  out_viommu_id: U32;
  data_len: U32;
  __reserved: U32;
  data_uptr: U64;
}> = struct("iommu_viommu_alloc", {
  size: u32,
  flags: u32,
  type: u32,
  dev_id: u32,
  hwpt_id: u32,
  out_viommu_id: u32,
  data_len: u32,
  __reserved: u32,
  data_uptr: u64,
});
/** Reserved; refused. */
export const IOMMU_VIOMMU_TYPE_DEFAULT = 0;
/** An ARM SMMUv3; no struct. */
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
/** An SMMUv3 with a Tegra241's queues; `iommu_viommu_tegra241_cmdqv`. */
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;

/** Makes a virtual IOMMU behind the IOMMU of a device. */
export const IOMMU_VIOMMU_ALLOC: Ioctl = io(
  "IOMMU_VIOMMU_ALLOC",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_VIOMMU_ALLOC,
  iommu_viommu_alloc,
);

/** Where to `mmap` the queue registers in the iommufd. */
export const iommu_viommu_tegra241_cmdqv: Struct<{
  out_vintf_mmap_offset: U64;
  out_vintf_mmap_length: U64;
}> = struct("iommu_viommu_tegra241_cmdqv", {
  out_vintf_mmap_offset: u64,
  out_vintf_mmap_length: u64,
});

/** `virt_id` is the device's id in the guest's IOMMU. */
export const iommu_vdevice_alloc: Struct<{
  size: U32;
  viommu_id: U32;
  dev_id: U32;
  out_vdevice_id: U32;
  virt_id: U64;
}> = struct("iommu_vdevice_alloc", {
  size: u32,
  viommu_id: u32,
  dev_id: u32,
  out_vdevice_id: u32,
  virt_id: u64,
});

/** Destroy it before the device is closed: the id is lost otherwise. */
export const IOMMU_VDEVICE_ALLOC: Ioctl = io(
  "IOMMU_VDEVICE_ALLOC",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_VDEVICE_ALLOC,
  iommu_vdevice_alloc,
);

/** The queue holds `veventq_depth` events. */
export const iommu_veventq_alloc: Struct<{
  size: U32;
  flags: U32;
  viommu_id: U32;
  type: U32;
  veventq_depth: U32;
  out_veventq_id: U32;
  out_veventq_fd: U32;
  __reserved: U32;
}> = struct("iommu_veventq_alloc", {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  veventq_depth: u32,
  out_veventq_id: u32,
  out_veventq_fd: u32,
  __reserved: u32,
});
/** Reserved; refused. */
export const IOMMU_VEVENTQ_TYPE_DEFAULT = 0;
/** Events are `iommu_vevent_arm_smmuv3`. */
export const IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1;
/** Events are `iommu_vevent_tegra241_cmdqv`. */
export const IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2;

/** The new fd gives an `iommufd_vevent_header` and the type's struct in turn. */
export const IOMMU_VEVENTQ_ALLOC: Ioctl = io(
  "IOMMU_VEVENTQ_ALLOC",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_VEVENTQ_ALLOC,
  iommu_veventq_alloc,
);

/** A gap in `sequence` counts the events that were lost. */
export const iommufd_vevent_header: Struct<{
  flags: U32;
  sequence: U32;
}> = struct("iommufd_vevent_header", {
  flags: u32,
  sequence: u32,
});
/** Events were lost, and none follows this header. */
export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1 << 0;

/** An event record of the SMMU's own. */
export const iommu_vevent_arm_smmuv3: Struct<{ evt: ArrayOf<bigint> }> = struct(
  "iommu_vevent_arm_smmuv3",
  {
    evt: array(u64, 4),
  },
);

/** The queues with an error, one bit each. */
export const iommu_vevent_tegra241_cmdqv: Struct<{
  lvcmdq_err_map: ArrayOf<bigint>;
}> = struct("iommu_vevent_tegra241_cmdqv", {
  lvcmdq_err_map: array(u64, 2),
});

/** The queue lies in the guest's memory, at `nesting_parent_iova`. */
export const iommu_hw_queue_alloc: Struct<{
  size: U32;
  flags: U32;
  viommu_id: U32;
  type: U32;
  index: U32;
  out_hw_queue_id: U32;
  nesting_parent_iova: U64;
  length: U64;
}> = struct("iommu_hw_queue_alloc", {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  index: u32,
  out_hw_queue_id: u32,
  nesting_parent_iova: u64,
  length: u64,
});
/** Reserved; refused. */
export const IOMMU_HW_QUEUE_TYPE_DEFAULT = 0;
/** From index 0 up; destroyed from the last one down. */
export const IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1;

/** Gives a guest one of the IOMMU's own queues. */
export const IOMMU_HW_QUEUE_ALLOC: Ioctl = io(
  "IOMMU_HW_QUEUE_ALLOC",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_HW_QUEUE_ALLOC,
  iommu_hw_queue_alloc,
);
