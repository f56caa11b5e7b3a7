/**
 * `linux/vfio.h`: what vfio-pci adds: its fixed regions and interrupts, hot
 * reset, and writes driven by an eventfd.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import {
  type Flexible,
  flexible,
  type I32,
  i32,
  type Overlay,
  overlay,
  type Struct,
  struct,
  type U16,
  u16,
  type U32,
  u32,
  type U64,
  u64,
  type U8,
  u8,
} from "../layout.ts";
import { VFIO_BASE, VFIO_TYPE } from "./container.ts";

/** BAR 0. */
export const VFIO_PCI_BAR0_REGION_INDEX = 0;
/** BAR 1; size 0 where BAR 0 has 64 bits, as after each such BAR. */
export const VFIO_PCI_BAR1_REGION_INDEX = 1;
/** BAR 2. */
export const VFIO_PCI_BAR2_REGION_INDEX = 2;
/** BAR 3. */
export const VFIO_PCI_BAR3_REGION_INDEX = 3;
/** BAR 4. */
export const VFIO_PCI_BAR4_REGION_INDEX = 4;
/** BAR 5. */
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
/** The expansion ROM. */
export const VFIO_PCI_ROM_REGION_INDEX = 6;
/** Config space. */
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
/** Ports 0x3b0-0x3bb and 0x3c0-0x3df, memory 0xa0000-0xbffff, each at itself. */
export const VFIO_PCI_VGA_REGION_INDEX = 8;
/** From here on a region is described by VFIO_REGION_INFO_CAP_TYPE. */
export const VFIO_PCI_NUM_REGIONS = 9;

/** INTx, one vector. */
export const VFIO_PCI_INTX_IRQ_INDEX = 0;
/** MSI. */
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
/** MSI-X. */
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
/** An uncorrectable PCIe error was reported. */
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
/** The kernel asks for the device back: its driver is being unbound. */
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
/** From here on an IRQ index is device-specific. */
export const VFIO_PCI_NUM_IRQS = 5;

/** `group_id` for a device opened through its group, else `devid`. */
export const vfio_pci_dependent_device: Struct<{
  group_id: U32;
  devid: Overlay<number>;
  segment: U16;
  bus: U8;
  devfn: U8;
}> = struct("vfio_pci_dependent_device", {
  group_id: u32,
  devid: overlay("group_id", u32),
  segment: u16,
  bus: u8,
  devfn: u8,
});
/** A `devid`: owned through the group it shares with a device that is ours. */
export const VFIO_PCI_DEVID_OWNED = 0;
/** A `devid`, -1 as the `u32` that it is read as. */
export const VFIO_PCI_DEVID_NOT_OWNED = 0xffff_ffff;

/** The functions that a hot reset of this one touches. */
export const vfio_pci_hot_reset_info: Struct<{
  argsz: U32;
  flags: U32;
  count: U32;
  devices: Flexible<typeof vfio_pci_dependent_device>;
}> = struct("vfio_pci_hot_reset_info", {
  argsz: u32,
  flags: u32,
  count: u32,
  devices: flexible(vfio_pci_dependent_device),
});
/** `devid` is valid instead of `group_id`. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1 << 0;
/** Every device that the reset touches is ours. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 1 << 1;

/** ENOSPC and a `count` where the buffer is too short. */
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: Ioctl = io(
  "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
  VFIO_TYPE,
  VFIO_BASE + 12,
  vfio_pci_hot_reset_info,
);

/** The fds of all groups that are touched; none for a device's own node. */
export const vfio_pci_hot_reset: Struct<{
  argsz: U32;
  flags: U32;
  count: U32;
  group_fds: Flexible<I32>;
}> = struct("vfio_pci_hot_reset", {
  argsz: u32,
  flags: u32,
  count: u32,
  group_fds: flexible(i32),
});

/** Resets the bus or slot, and with it every function there. */
export const VFIO_DEVICE_PCI_HOT_RESET: Ioctl = io(
  "VFIO_DEVICE_PCI_HOT_RESET",
  VFIO_TYPE,
  VFIO_BASE + 13,
  vfio_pci_hot_reset,
);

/** `offset` counts in the device's file; an `fd` of -1 takes it away. */
export const vfio_device_ioeventfd: Struct<{
  argsz: U32;
  flags: U32;
  offset: U64;
  data: U64;
  fd: I32;
  reserved: U32;
}> = struct("vfio_device_ioeventfd", {
  argsz: u32,
  flags: u32,
  offset: u64,
  data: u64,
  fd: i32,
  reserved: u32,
});
/** A write of 1 byte. */
export const VFIO_DEVICE_IOEVENTFD_8 = 1 << 0;
/** A write of 2 bytes. */
export const VFIO_DEVICE_IOEVENTFD_16 = 1 << 1;
/** A write of 4 bytes. */
export const VFIO_DEVICE_IOEVENTFD_32 = 1 << 2;
/** A write of 8 bytes. */
export const VFIO_DEVICE_IOEVENTFD_64 = 1 << 3;
/** The bits that say how wide the write is. */
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;

/** The kernel writes `data` to the device whenever the eventfd is signalled. */
export const VFIO_DEVICE_IOEVENTFD: Ioctl = io(
  "VFIO_DEVICE_IOEVENTFD",
  VFIO_TYPE,
  VFIO_BASE + 16,
  vfio_device_ioeventfd,
);
