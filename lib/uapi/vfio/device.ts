/**
 * `linux/vfio.h`: what every VFIO device answers: its info, regions and
 * interrupts, and reset.
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

/**
 * `cap_offset` and `pad` are not in the oldest kernels, which accept the larger
 * `argsz` and leave them as they are.
 */
export const vfio_device_info: Struct<{
  argsz: U32;
  flags: U32;
  num_regions: U32;
  num_irqs: U32;
  cap_offset: U32;
  pad: U32;
}> = struct("vfio_device_info", {
  argsz: u32,
  flags: u32,
  num_regions: u32,
  num_irqs: u32,
  cap_offset: u32,
  pad: u32,
});
/** The device can be reset. */
export const VFIO_DEVICE_FLAGS_RESET = 1 << 0;
/** A PCI function. */
export const VFIO_DEVICE_FLAGS_PCI = 1 << 1;
/** A platform device. */
export const VFIO_DEVICE_FLAGS_PLATFORM = 1 << 2;
/** An AMBA device. */
export const VFIO_DEVICE_FLAGS_AMBA = 1 << 3;
/** An s390 channel device. */
export const VFIO_DEVICE_FLAGS_CCW = 1 << 4;
/** An s390 crypto device. */
export const VFIO_DEVICE_FLAGS_AP = 1 << 5;
/** A device of Freescale's management complex. */
export const VFIO_DEVICE_FLAGS_FSL_MC = 1 << 6;
/** A capability chain follows. */
export const VFIO_DEVICE_FLAGS_CAPS = 1 << 7;
/** A device of AMD's CDX bus. */
export const VFIO_DEVICE_FLAGS_CDX = 1 << 8;

/** What the device is, and how many regions and IRQ indexes it has. */
export const VFIO_DEVICE_GET_INFO: Ioctl = io(
  "VFIO_DEVICE_GET_INFO",
  VFIO_TYPE,
  VFIO_BASE + 7,
  vfio_device_info,
);

// A mediated device type's `device_api` in sysfs.
/** Used as a PCI function. */
export const VFIO_DEVICE_API_PCI_STRING = "vfio-pci";
/** Used as a platform device. */
export const VFIO_DEVICE_API_PLATFORM_STRING = "vfio-platform";
/** Used as an AMBA device. */
export const VFIO_DEVICE_API_AMBA_STRING = "vfio-amba";
/** Used as an s390 channel device. */
export const VFIO_DEVICE_API_CCW_STRING = "vfio-ccw";
/** Used as an s390 crypto device. */
export const VFIO_DEVICE_API_AP_STRING = "vfio-ap";

// The contents of the zPCI capabilities are in `linux/vfio_zdev.h`. They are
// big-endian, as s390 is, and are not described here.
/** An s390 PCI function: its ids, and its range for DMA. */
export const VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1;
/** An s390 PCI function: what its kind can do. */
export const VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2;
/** An s390 PCI function: its utility string. */
export const VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3;
/** An s390 PCI function: its path to the physical function. */
export const VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4;
/** A `vfio_device_info_cap_pci_atomic_comp`. */
export const VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5;

/** The widths of PCIe AtomicOps that the root complex completes. */
export const vfio_device_info_cap_pci_atomic_comp: Struct<{
  header: typeof vfio_info_cap_header;
  flags: U32;
  reserved: U32;
}> = struct("vfio_device_info_cap_pci_atomic_comp", {
  header: vfio_info_cap_header,
  flags: u32,
  reserved: u32,
});
/** 32 bits. */
export const VFIO_PCI_ATOMIC_COMP32 = 1 << 0;
/** 64 bits. */
export const VFIO_PCI_ATOMIC_COMP64 = 1 << 1;
/** 128 bits. */
export const VFIO_PCI_ATOMIC_COMP128 = 1 << 2;

/** `offset` is where the region begins in the device's file. */
export const vfio_region_info: Struct<{
  argsz: U32;
  flags: U32;
  index: U32;
  cap_offset: U32;
  size: U64;
  offset: U64;
}> = struct("vfio_region_info", {
  argsz: u32,
  flags: u32,
  index: u32,
  cap_offset: u32,
  size: u64,
  offset: u64,
});
/** The region can be read with `pread`. */
export const VFIO_REGION_INFO_FLAG_READ = 1 << 0;
/** The region can be written with `pwrite`. */
export const VFIO_REGION_INFO_FLAG_WRITE = 1 << 1;
/** The region, or parts of it, can be mapped. */
export const VFIO_REGION_INFO_FLAG_MMAP = 1 << 2;
/** A capability chain follows. */
export const VFIO_REGION_INFO_FLAG_CAPS = 1 << 3;

/** A region that the device does not have answers size 0, or EINVAL. */
export const VFIO_DEVICE_GET_REGION_INFO: Ioctl = io(
  "VFIO_DEVICE_GET_REGION_INFO",
  VFIO_TYPE,
  VFIO_BASE + 8,
  vfio_region_info,
);

/** `count` is how many vectors the index has. */
export const vfio_irq_info: Struct<{
  argsz: U32;
  flags: U32;
  index: U32;
  count: U32;
}> = struct("vfio_irq_info", {
  argsz: u32,
  flags: u32,
  index: u32,
  count: u32,
});
/** The interrupt can signal an eventfd. */
export const VFIO_IRQ_INFO_EVENTFD = 1 << 0;
/** The interrupt can be masked and unmasked. */
export const VFIO_IRQ_INFO_MASKABLE = 1 << 1;
/** VFIO masks the interrupt when it fires: it is level-triggered. */
export const VFIO_IRQ_INFO_AUTOMASKED = 1 << 2;
/** Vectors cannot be added without disabling the whole index first. */
export const VFIO_IRQ_INFO_NORESIZE = 1 << 3;

/** What one IRQ index is. */
export const VFIO_DEVICE_GET_IRQ_INFO: Ioctl = io(
  "VFIO_DEVICE_GET_IRQ_INFO",
  VFIO_TYPE,
  VFIO_BASE + 9,
  vfio_irq_info,
);

/** `data` has `count` elements: `u8` for BOOL, `i32` for EVENTFD. */
export const vfio_irq_set: Struct<{
  argsz: U32;
  flags: U32;
  index: U32;
  start: U32;
  count: U32;
  data: Flexible<U8>;
}> = struct("vfio_irq_set", {
  argsz: u32,
  flags: u32,
  index: u32,
  start: u32,
  count: u32,
  data: flexible(u8),
});
/** No `data`: the action is for all of the vectors. */
export const VFIO_IRQ_SET_DATA_NONE = 1 << 0;
/** The action is for the vectors whose byte is not 0. */
export const VFIO_IRQ_SET_DATA_BOOL = 1 << 1;
/** An fd of -1 takes the eventfd of its vector away. */
export const VFIO_IRQ_SET_DATA_EVENTFD = 1 << 2;
/** Hold the interrupt back. */
export const VFIO_IRQ_SET_ACTION_MASK = 1 << 3;
/** Let the interrupt through. */
export const VFIO_IRQ_SET_ACTION_UNMASK = 1 << 4;
/** Set the eventfds; without eventfds, fire the interrupt. */
export const VFIO_IRQ_SET_ACTION_TRIGGER = 1 << 5;
/** The bits that say what `data` is. */
export const VFIO_IRQ_SET_DATA_TYPE_MASK = VFIO_IRQ_SET_DATA_NONE |
  VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD;
/** The bits that say what is done. */
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = VFIO_IRQ_SET_ACTION_MASK |
  VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER;

/** DATA_NONE with ACTION_TRIGGER and a count of 0 disables the whole index. */
export const VFIO_DEVICE_SET_IRQS: Ioctl = io(
  "VFIO_DEVICE_SET_IRQS",
  VFIO_TYPE,
  VFIO_BASE + 10,
  vfio_irq_set,
);

/** Resets the device, where VFIO_DEVICE_FLAGS_RESET says it can. */
export const VFIO_DEVICE_RESET: Ioctl = io(
  "VFIO_DEVICE_RESET",
  VFIO_TYPE,
  VFIO_BASE + 11,
  "none",
);

// Fixed indexes of s390 channel and crypto devices.
/** The region that starts I/O of a channel device. */
export const VFIO_CCW_CONFIG_REGION_INDEX = 0;
/** How many fixed regions a channel device has. */
export const VFIO_CCW_NUM_REGIONS = 1;
/** I/O of a channel device ended. */
export const VFIO_CCW_IO_IRQ_INDEX = 0;
/** A channel report is pending. */
export const VFIO_CCW_CRW_IRQ_INDEX = 1;
/** The kernel asks for the channel device back. */
export const VFIO_CCW_REQ_IRQ_INDEX = 2;
/** How many IRQ indexes a channel device has. */
export const VFIO_CCW_NUM_IRQS = 3;
/** The kernel asks for the crypto device back. */
export const VFIO_AP_REQ_IRQ_INDEX = 0;
/** The crypto device's configuration changed. */
export const VFIO_AP_CFG_CHG_IRQ_INDEX = 1;
/** How many IRQ indexes a crypto device has. */
export const VFIO_AP_NUM_IRQS = 2;
