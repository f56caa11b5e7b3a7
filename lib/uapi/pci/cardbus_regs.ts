/**
 * `linux/pci_regs.h`: the header of a CardBus bridge (header type 2). Offsets
 * are in bytes, from the start of config space.
 *
 * @module
 */

/** 8 bits: the offset of the first capability. */
export const PCI_CB_CAPABILITY_LIST = 0x14;
/** 8 bits: the bus that the bridge is on. */
export const PCI_CB_PRIMARY_BUS = 0x18;
/** 8 bits: the bus of the card. */
export const PCI_CB_CARD_BUS = 0x19;
/** 8 bits: the last bus behind the bridge. */
export const PCI_CB_SUBORDINATE_BUS = 0x1a;
/** 8 bits: how long the card may keep its bus, in clocks. */
export const PCI_CB_LATENCY_TIMER = 0x1b;
/** 32 bits: the start of the first memory window; the second follows it. */
export const PCI_CB_MEMORY_BASE_0 = 0x1c;
export const PCI_CB_MEMORY_LIMIT_0 = 0x20;
export const PCI_CB_MEMORY_BASE_1 = 0x24;
/** 32 bits: the start of the first window of ports. */
export const PCI_CB_IO_BASE_0 = 0x2c;
export const PCI_CB_IO_LIMIT_0 = 0x30;
export const PCI_CB_IO_BASE_1 = 0x34;
/** 16 bits, PCI_CB_BRIDGE_CTL_*. */
export const PCI_CB_BRIDGE_CONTROL = 0x3e;
export const PCI_CB_BRIDGE_CTL_PARITY = 0x01;
export const PCI_CB_BRIDGE_CTL_SERR = 0x02;
export const PCI_CB_BRIDGE_CTL_ISA = 0x04;
export const PCI_CB_BRIDGE_CTL_VGA = 0x08;
export const PCI_CB_BRIDGE_CTL_MASTER_ABORT = 0x20;
export const PCI_CB_BRIDGE_CTL_CB_RESET = 0x40;
export const PCI_CB_BRIDGE_CTL_16BIT_INT = 0x80;
/** The first memory window may be prefetched; the next bit: the second. */
export const PCI_CB_BRIDGE_CTL_PREFETCH_MEM0 = 0x100;
export const PCI_CB_BRIDGE_CTL_PREFETCH_MEM1 = 0x200;
export const PCI_CB_BRIDGE_CTL_POST_WRITES = 0x400;
/** 16 bits: who made the card that the bridge is on. */
export const PCI_CB_SUBSYSTEM_VENDOR_ID = 0x40;
/** 16 bits: which of the vendor's cards it is. */
export const PCI_CB_SUBSYSTEM_ID = 0x42;
/** 32 bits: ports of the mode for 16-bit cards. */
export const PCI_CB_LEGACY_MODE_BASE = 0x44;
