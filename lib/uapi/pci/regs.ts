/**
 * `linux/pci_regs.h`: config space, its header, and the capabilities that a
 * conventional function can have. Offsets are in bytes.
 *
 * @module
 */

export * from "./capability_regs.ts";

// Sizes
/** Bytes of config space of a conventional function. */
export const PCI_CFG_SPACE_SIZE = 256;
/** Bytes of config space of a PCI Express function. */
export const PCI_CFG_SPACE_EXP_SIZE = 4096;
/** Bytes of the header that every function has. */
export const PCI_STD_HEADER_SIZEOF = 64;
/** BARs that a function can have. */
export const PCI_STD_NUM_BARS = 6;

// The header, where functions and bridges have the same
/** 16 bits: who made the function. */
export const PCI_VENDOR_ID = 0x00;
/** 16 bits: which of the vendor's devices it is. */
export const PCI_DEVICE_ID = 0x02;
/** 16 bits: what the function may do, PCI_COMMAND_*. */
export const PCI_COMMAND = 0x04;
/** The device answers port accesses. */
export const PCI_COMMAND_IO = 0x1;
/** The device answers memory accesses: its BARs work. */
export const PCI_COMMAND_MEMORY = 0x2;
/** The device may start DMA, and MSI with it. */
export const PCI_COMMAND_MASTER = 0x4;
/** The function answers special cycles. */
export const PCI_COMMAND_SPECIAL = 0x8;
/** The function may use Memory Write and Invalidate. */
export const PCI_COMMAND_INVALIDATE = 0x10;
/** The function watches writes to the VGA palette. */
export const PCI_COMMAND_VGA_PALETTE = 0x20;
/** The function answers parity errors. */
export const PCI_COMMAND_PARITY = 0x40;
/** The function steps addresses and data. */
export const PCI_COMMAND_WAIT = 0x80;
/** The function may report system errors. */
export const PCI_COMMAND_SERR = 0x100;
/** Back-to-back writes to different targets are allowed. */
export const PCI_COMMAND_FAST_BACK = 0x200;
/** The function may not assert INTx. */
export const PCI_COMMAND_INTX_DISABLE = 0x400;
/** 16 bits, PCI_STATUS_*. */
export const PCI_STATUS = 0x06;
/** The function answers at once after a reset. */
export const PCI_STATUS_IMM_READY = 0x01;
/** INTx is asserted. */
export const PCI_STATUS_INTERRUPT = 0x08;
/** There is a capability list at PCI_CAPABILITY_LIST. */
export const PCI_STATUS_CAP_LIST = 0x10;
/** The function works at 66 MHz. */
export const PCI_STATUS_66MHZ = 0x20;
/** The function takes back-to-back writes to different targets. */
export const PCI_STATUS_FAST_BACK = 0x80;
/** A parity error was detected as a master. */
export const PCI_STATUS_PARITY = 0x100;
/** The function aborted a transaction as its target. */
export const PCI_STATUS_SIG_TARGET_ABORT = 0x800;
/** A target aborted a transaction of the function's. */
export const PCI_STATUS_REC_TARGET_ABORT = 0x1000;
/** Nobody answered a transaction of the function's. */
export const PCI_STATUS_REC_MASTER_ABORT = 0x2000;
/** The function reported a system error. */
export const PCI_STATUS_SIG_SYSTEM_ERROR = 0x4000;
/** A parity error was detected. */
export const PCI_STATUS_DETECTED_PARITY = 0x8000;
/** 32 bits: the class in the upper 24, the revision in the lower 8. */
export const PCI_CLASS_REVISION = 0x08;
/** 8 bits: the revision. */
export const PCI_REVISION_ID = 0x08;
/** 8 bits: the programming interface, the last part of the class. */
export const PCI_CLASS_PROG = 0x09;
/** 16 bits: the base class and the subclass. */
export const PCI_CLASS_DEVICE = 0x0a;
/** 8 bits, in units of 4 bytes. */
export const PCI_CACHE_LINE_SIZE = 0x0c;
/** 8 bits, in clocks of the bus. */
export const PCI_LATENCY_TIMER = 0x0d;
/** 8 bits, PCI_HEADER_TYPE_*. */
export const PCI_HEADER_TYPE = 0x0e;
/** The bits that say how the header goes on. */
export const PCI_HEADER_TYPE_MASK = 0x7f;
/** The header of a function. */
export const PCI_HEADER_TYPE_NORMAL = 0;
/** The header of a bridge. */
export const PCI_HEADER_TYPE_BRIDGE = 1;
/** A bridge to cards of CardBus. */
export const PCI_HEADER_TYPE_CARDBUS = 2;
/** The device has several functions. */
export const PCI_HEADER_TYPE_MFD = 0x80;
/** 8 bits: the built-in self-test. */
export const PCI_BIST = 0x0f;

// The header of a function, type 0
/** 32 bits: BAR 0. */
export const PCI_BASE_ADDRESS_0 = 0x10;
/** 32 bits: BAR 1, or the upper half of BAR 0; so on for the others. */
export const PCI_BASE_ADDRESS_1 = 0x14;
/** 32 bits: BAR 2. */
export const PCI_BASE_ADDRESS_2 = 0x18;
/** 32 bits: BAR 3. */
export const PCI_BASE_ADDRESS_3 = 0x1c;
/** 32 bits: BAR 4. */
export const PCI_BASE_ADDRESS_4 = 0x20;
/** 32 bits: BAR 5. */
export const PCI_BASE_ADDRESS_5 = 0x24;
/** The bit of a BAR that tells ports from memory. */
export const PCI_BASE_ADDRESS_SPACE = 0x01;
/** The BAR is for ports. */
export const PCI_BASE_ADDRESS_SPACE_IO = 0x01;
/** The BAR is for memory. */
export const PCI_BASE_ADDRESS_SPACE_MEMORY = 0x00;
/** The bits of a memory BAR that say how wide it is. */
export const PCI_BASE_ADDRESS_MEM_TYPE_MASK = 0x06;
/** The address has 32 bits. */
export const PCI_BASE_ADDRESS_MEM_TYPE_32 = 0x00;
/** The address has 64 bits, the upper half in the next BAR. */
export const PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x04;
/** Reads have no side effects. */
export const PCI_BASE_ADDRESS_MEM_PREFETCH = 0x08;
/** 16 bits: who made the card. */
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
/** 16 bits: which of the vendor's cards it is. */
export const PCI_SUBSYSTEM_ID = 0x2e;
/** 32 bits: where the expansion ROM is. */
export const PCI_ROM_ADDRESS = 0x30;
/** The ROM answers. */
export const PCI_ROM_ADDRESS_ENABLE = 0x01;
/** The bits of the ROM's address. */
export const PCI_ROM_ADDRESS_MASK = 0xffff_f800;

// Both types again
/** 8 bits: the offset of the first capability. */
export const PCI_CAPABILITY_LIST = 0x34;
/** 8 bits: written by firmware, for software to read. */
export const PCI_INTERRUPT_LINE = 0x3c;
/** 8 bits: 1 to 4 for INTA to INTD, 0 for none. */
export const PCI_INTERRUPT_PIN = 0x3d;

// The header of a bridge, type 1
/** 8 bits: the bus above the bridge. */
export const PCI_PRIMARY_BUS = 0x18;
/** 8 bits: the bus below the bridge. */
export const PCI_SECONDARY_BUS = 0x19;
/** 8 bits: the highest bus below the bridge. */
export const PCI_SUBORDINATE_BUS = 0x1a;
/** 8 bits: the first ports passed on, address bits 15 to 12. */
export const PCI_IO_BASE = 0x1c;
/** 8 bits: the last ports passed on, address bits 15 to 12. */
export const PCI_IO_LIMIT = 0x1d;
/** 16 bits: the first memory passed on, address bits 31 to 20. */
export const PCI_MEMORY_BASE = 0x20;
/** 16 bits: the last memory passed on, address bits 31 to 20. */
export const PCI_MEMORY_LIMIT = 0x22;
/** 16 bits: the same for prefetchable memory. */
export const PCI_PREF_MEMORY_BASE = 0x24;
/** 16 bits: the same for prefetchable memory. */
export const PCI_PREF_MEMORY_LIMIT = 0x26;
/** 32 bits: the upper half of that base. */
export const PCI_PREF_BASE_UPPER32 = 0x28;
/** 32 bits: the upper half of that limit. */
export const PCI_PREF_LIMIT_UPPER32 = 0x2c;
/** 16 bits: the upper half of the ports' base. */
export const PCI_IO_BASE_UPPER16 = 0x30;
/** 16 bits: the upper half of the ports' limit. */
export const PCI_IO_LIMIT_UPPER16 = 0x32;
/** 16 bits, PCI_BRIDGE_CTL_*. */
export const PCI_BRIDGE_CONTROL = 0x3e;
/** Answer parity errors of the bus below. */
export const PCI_BRIDGE_CTL_PARITY = 0x01;
/** Pass on system errors of the bus below. */
export const PCI_BRIDGE_CTL_SERR = 0x02;
/** Hold back the ports that ISA devices use. */
export const PCI_BRIDGE_CTL_ISA = 0x04;
/** Pass on VGA's ports and memory. */
export const PCI_BRIDGE_CTL_VGA = 0x08;
/** Report transactions that nobody answered. */
export const PCI_BRIDGE_CTL_MASTER_ABORT = 0x20;
/** Reset the bus below, for as long as the bit is set. */
export const PCI_BRIDGE_CTL_BUS_RESET = 0x40;
/** Back-to-back writes to the bus below are allowed. */
export const PCI_BRIDGE_CTL_FAST_BACK = 0x80;

/** The device number in a `devfn`, of `linux/pci.h`. */
export function PCI_SLOT(devfn: number): number {
  return devfn >> 3 & 0x1f;
}

/** The function number in a `devfn`, of `linux/pci.h`. */
export function PCI_FUNC(devfn: number): number {
  return devfn & 0x07;
}
