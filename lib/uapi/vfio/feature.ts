/**
 * `linux/vfio.h`: the features of VFIO_DEVICE_FEATURE, but for migration's.
 *
 * @module
 */

import {
  type Flexible,
  flexible,
  type I32,
  i32,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** SET: the secret, a UUID, that a user of the PF's VFs has to know. */
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;

/** SET: the device may sleep; its mappings fault until it is woken. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
/** SET: the same, once, and an eventfd tells when the device woke. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
/** SET: the device is awake, and stays so. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;

/** `wakeup_eventfd` is signalled when the device woke. */
export const vfio_device_low_power_entry_with_wakeup: Struct<{
  wakeup_eventfd: I32;
  reserved: U32;
}> = struct("vfio_device_low_power_entry_with_wakeup", {
  wakeup_eventfd: i32,
  reserved: u32,
});

/** SET, CDX devices only: PCI has it in config space. */
export const VFIO_DEVICE_FEATURE_BUS_MASTER = 10;

/** `op` is CLEAR_MASTER or SET_MASTER. */
export const vfio_device_feature_bus_master: Struct<{ op: U32 }> = struct(
  "vfio_device_feature_bus_master",
  {
    op: u32,
  },
);
/** The device may start no DMA. */
export const VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0;
/** The device may start DMA. */
export const VFIO_DEVICE_FEATURE_SET_MASTER = 1;

/** GET: answers the fd of a dma-buf made of parts of a region. */
export const VFIO_DEVICE_FEATURE_DMA_BUF = 11;

/** `offset` counts from the start of the region. */
export const vfio_region_dma_range: Struct<{
  offset: U64;
  length: U64;
}> = struct("vfio_region_dma_range", {
  offset: u64,
  length: u64,
});

/** `open_flags` as for `open`: O_RDWR, O_CLOEXEC. */
export const vfio_device_feature_dma_buf: Struct<{
  region_index: U32;
  open_flags: U32;
  flags: U32;
  nr_ranges: U32;
  dma_ranges: Flexible<typeof vfio_region_dma_range>;
}> = struct("vfio_device_feature_dma_buf", {
  region_index: u32,
  open_flags: u32,
  flags: u32,
  nr_ranges: u32,
  dma_ranges: flexible(vfio_region_dma_range),
});

/** GET, s390 only: a PCI error's description; ENOMSG without an error. */
export const VFIO_DEVICE_FEATURE_ZPCI_ERROR = 13;

/** `data` is the address of a buffer. */
export const vfio_device_feature_zpci_err: Struct<{ data: U64 }> = struct(
  "vfio_device_feature_zpci_err",
  {
    data: u64,
  },
);
