/**
 * `linux/pci_regs.h`: the capabilities that a conventional function can have.
 * Offsets are in bytes, from a capability's start.
 *
 * @module
 */

// The capability list
/** 8 bits: which capability it is, PCI_CAP_ID_*. */
export const PCI_CAP_LIST_ID = 0;
/** Power management. */
export const PCI_CAP_ID_PM = 0x01;
/** Accelerated Graphics Port. */
export const PCI_CAP_ID_AGP = 0x02;
/** Vital product data. */
export const PCI_CAP_ID_VPD = 0x03;
/** Slot identification. */
export const PCI_CAP_ID_SLOTID = 0x04;
/** Message signalled interrupts. */
export const PCI_CAP_ID_MSI = 0x05;
/** CompactPCI hot swap. */
export const PCI_CAP_ID_CHSWP = 0x06;
/** PCI-X. */
export const PCI_CAP_ID_PCIX = 0x07;
/** HyperTransport. */
export const PCI_CAP_ID_HT = 0x08;
/** The vendor's own. */
export const PCI_CAP_ID_VNDR = 0x09;
/** Debug port. */
export const PCI_CAP_ID_DBG = 0x0a;
/** CompactPCI central resource control. */
export const PCI_CAP_ID_CCRC = 0x0b;
/** Standard hot-plug controller. */
export const PCI_CAP_ID_SHPC = 0x0c;
/** A bridge's subsystem ids. */
export const PCI_CAP_ID_SSVID = 0x0d;
/** AGP 8x. */
export const PCI_CAP_ID_AGP3 = 0x0e;
/** Secure device. */
export const PCI_CAP_ID_SECDEV = 0x0f;
/** PCI Express. */
export const PCI_CAP_ID_EXP = 0x10;
/** MSI-X. */
export const PCI_CAP_ID_MSIX = 0x11;
/** SATA data and index configuration. */
export const PCI_CAP_ID_SATA = 0x12;
/** Advanced features, of conventional functions. */
export const PCI_CAP_ID_AF = 0x13;
/** Enhanced allocation. */
export const PCI_CAP_ID_EA = 0x14;
/** 8 bits: the offset of the next capability, 0 after the last. */
export const PCI_CAP_LIST_NEXT = 1;
/** 16 bits: the capability's own flags. */
export const PCI_CAP_FLAGS = 2;

// Power management
/** 16 bits: what the function can do, PCI_PM_CAP_*. */
export const PCI_PM_PMC = 2;
/** The version of the specification. */
export const PCI_PM_CAP_VER_MASK = 0x0007;
/** PME# needs the bus's clock. */
export const PCI_PM_CAP_PME_CLOCK = 0x0008;
/** The function needs initialisation of its own. */
export const PCI_PM_CAP_DSI = 0x0020;
/** How much auxiliary power D3cold takes. */
export const PCI_PM_CAP_AUX_POWER = 0x01c0;
/** There is a D1 state. */
export const PCI_PM_CAP_D1 = 0x0200;
/** There is a D2 state. */
export const PCI_PM_CAP_D2 = 0x0400;
/** The lowest of the PME bits. */
export const PCI_PM_CAP_PME = 0x0800;
/** The states that PME# can be asserted from. */
export const PCI_PM_CAP_PME_MASK = 0xf800;
/** PME# from D0. */
export const PCI_PM_CAP_PME_D0 = 0x0800;
/** PME# from D1. */
export const PCI_PM_CAP_PME_D1 = 0x1000;
/** PME# from D2. */
export const PCI_PM_CAP_PME_D2 = 0x2000;
/** PME# from D3hot. */
export const PCI_PM_CAP_PME_D3hot = 0x4000;
/** PME# from D3cold. */
export const PCI_PM_CAP_PME_D3cold = 0x8000;
/** Where the PME bits begin. */
export const PCI_PM_CAP_PME_SHIFT = 11;
/** 16 bits, PCI_PM_CTRL_*. */
export const PCI_PM_CTRL = 4;
/** The power state: 0 for D0 to 3 for D3hot. */
export const PCI_PM_CTRL_STATE_MASK = 0x0003;
/** The function is not reset on its way from D3hot to D0. */
export const PCI_PM_CTRL_NO_SOFT_RESET = 0x0008;
/** The function may assert PME#. */
export const PCI_PM_CTRL_PME_ENABLE = 0x0100;
/** The function wants to assert PME#; writing 1 clears it. */
export const PCI_PM_CTRL_PME_STATUS = 0x8000;

// MSI
/** 16 bits, PCI_MSI_FLAGS_*. */
export const PCI_MSI_FLAGS = 0x02;
/** MSI is on. */
export const PCI_MSI_FLAGS_ENABLE = 0x0001;
/** Vectors that the function has, as a base-2 logarithm. */
export const PCI_MSI_FLAGS_QMASK = 0x000e;
/** Vectors that are in use, as a base-2 logarithm. */
export const PCI_MSI_FLAGS_QSIZE = 0x0070;
/** The address has 64 bits. */
export const PCI_MSI_FLAGS_64BIT = 0x0080;
/** Vectors can be masked one by one. */
export const PCI_MSI_FLAGS_MASKBIT = 0x0100;
/** 32 bits: the message's address, the lower half. */
export const PCI_MSI_ADDRESS_LO = 0x04;
/** 32 bits: the upper half, with PCI_MSI_FLAGS_64BIT. */
export const PCI_MSI_ADDRESS_HI = 0x08;
/** 16 bits: the message, without PCI_MSI_FLAGS_64BIT. */
export const PCI_MSI_DATA_32 = 0x08;
/** 32 bits: vectors that are masked, without PCI_MSI_FLAGS_64BIT. */
export const PCI_MSI_MASK_32 = 0x0c;
/** 32 bits: vectors that wait, without PCI_MSI_FLAGS_64BIT. */
export const PCI_MSI_PENDING_32 = 0x10;
/** 16 bits: the message, with PCI_MSI_FLAGS_64BIT. */
export const PCI_MSI_DATA_64 = 0x0c;
/** 32 bits: vectors that are masked, with PCI_MSI_FLAGS_64BIT. */
export const PCI_MSI_MASK_64 = 0x10;
/** 32 bits: vectors that wait, with PCI_MSI_FLAGS_64BIT. */
export const PCI_MSI_PENDING_64 = 0x14;

// MSI-X
/** 16 bits, PCI_MSIX_FLAGS_*. */
export const PCI_MSIX_FLAGS = 2;
/** Vectors, less one. */
export const PCI_MSIX_FLAGS_QSIZE = 0x07ff;
/** All vectors are masked. */
export const PCI_MSIX_FLAGS_MASKALL = 0x4000;
/** MSI-X is on. */
export const PCI_MSIX_FLAGS_ENABLE = 0x8000;
/** 32 bits: where the table of vectors is. */
export const PCI_MSIX_TABLE = 4;
/** The BAR that the table is in. */
export const PCI_MSIX_TABLE_BIR = 0x00000007;
/** The table's offset in that BAR. */
export const PCI_MSIX_TABLE_OFFSET = 0xfffffff8;
/** 32 bits: where the pending bits are. */
export const PCI_MSIX_PBA = 8;
/** The BAR that the pending bits are in. */
export const PCI_MSIX_PBA_BIR = 0x00000007;
/** Their offset in that BAR. */
export const PCI_MSIX_PBA_OFFSET = 0xfffffff8;
/** Bytes of the capability. */
export const PCI_CAP_MSIX_SIZEOF = 12;
/** Bytes of one entry of the table. */
export const PCI_MSIX_ENTRY_SIZE = 16;
/** 32 bits: the message's address, the lower half. */
export const PCI_MSIX_ENTRY_LOWER_ADDR = 0x0;
/** 32 bits: the message's address, the upper half. */
export const PCI_MSIX_ENTRY_UPPER_ADDR = 0x4;
/** 32 bits: the message. */
export const PCI_MSIX_ENTRY_DATA = 0x8;
/** 32 bits, PCI_MSIX_ENTRY_CTRL_*. */
export const PCI_MSIX_ENTRY_VECTOR_CTRL = 0xc;
/** The vector is masked. */
export const PCI_MSIX_ENTRY_CTRL_MASKBIT = 0x00000001;

// Advanced features
/** 8 bits: bytes of the capability. */
export const PCI_AF_LENGTH = 2;
/** 8 bits, PCI_AF_CAP_*. */
export const PCI_AF_CAP = 3;
/** PCI_AF_STATUS_TP is there. */
export const PCI_AF_CAP_TP = 0x01;
/** The function can be reset by itself. */
export const PCI_AF_CAP_FLR = 0x02;
/** 8 bits, PCI_AF_CTRL_*. */
export const PCI_AF_CTRL = 4;
/** Resets the function. */
export const PCI_AF_CTRL_FLR = 0x01;
/** 8 bits, PCI_AF_STATUS_*. */
export const PCI_AF_STATUS = 5;
/** Transactions are pending. */
export const PCI_AF_STATUS_TP = 0x01;
/** Bytes of the capability. */
export const PCI_CAP_AF_SIZEOF = 6;

// Vital product data
/** 16 bits: which 4 bytes are read or written. */
export const PCI_VPD_ADDR = 2;
/** The address. */
export const PCI_VPD_ADDR_MASK = 0x7fff;
/** Written 0 to read and 1 to write; changes when that is done. */
export const PCI_VPD_ADDR_F = 0x8000;
/** 32 bits: the data. */
export const PCI_VPD_DATA = 4;

// Enhanced allocation
/** 8 bits: how many entries follow. */
export const PCI_EA_NUM_ENT = 2;
/** The bits of that number. */
export const PCI_EA_NUM_ENT_MASK = 0x3f;
/** The first entry, of a function. */
export const PCI_EA_FIRST_ENT = 4;
/** The first entry, of a bridge. */
export const PCI_EA_FIRST_ENT_BRIDGE = 8;
/** In an entry: its size, in units of 4 bytes, less one. */
export const PCI_EA_ES = 0x00000007;
/** In an entry: which BAR, or other range, it describes. */
export const PCI_EA_BEI = 0x000000f0;
/** In an entry: what the range is, at first choice. */
export const PCI_EA_PP = 0x0000ff00;
/** In an entry: what the range is, if software does not know that. */
export const PCI_EA_SP = 0x00ff0000;
/** In an entry: software may change the range. */
export const PCI_EA_WRITABLE = 0x40000000;
/** In an entry: the range answers. */
export const PCI_EA_ENABLE = 0x80000000;
/** In a base or an offset: 32 further bits follow. */
export const PCI_EA_IS_64 = 0x00000002;
/** In a base or an offset: the bits of the address. */
export const PCI_EA_FIELD_MASK = 0xfffffffc;

// A bridge's subsystem ids
/** 16 bits: who made the card. */
export const PCI_SSVID_VENDOR_ID = 4;
/** 16 bits: which of the vendor's cards it is. */
export const PCI_SSVID_DEVICE_ID = 6;

// Enhanced allocation: what an entry describes
/** The first BAR; the others follow it. */
export const PCI_EA_BEI_BAR0 = 0;
/** The last BAR. */
export const PCI_EA_BEI_BAR5 = 5;
/** What is behind a bridge. */
export const PCI_EA_BEI_BRIDGE = 6;
/** No register stands for it. */
export const PCI_EA_BEI_ENI = 7;
/** The expansion ROM. */
export const PCI_EA_BEI_ROM = 8;
/** The first BAR of virtual functions; the others follow it. */
export const PCI_EA_BEI_VF_BAR0 = 9;
/** The last BAR of virtual functions. */
export const PCI_EA_BEI_VF_BAR5 = 14;
/** In the word before a bridge's entries: the bus behind it. */
export const PCI_EA_SEC_BUS_MASK = 0xff;
/** In the word before a bridge's entries: the last bus behind it. */
export const PCI_EA_SUB_BUS_MASK = 0xff00;

// PCI-X
/** 16 bits, of a function: PCI_X_CMD_*. */
export const PCI_X_CMD = 2;
/** The driver handles data parity errors. */
export const PCI_X_CMD_DPERR_E = 0x0001;
/** The function may reorder its transactions. */
export const PCI_X_CMD_ERO = 0x0002;
/** The most bytes that it reads at once: 512 times a power of two. */
export const PCI_X_CMD_MAX_READ = 0x000c;
/** How many split transactions it has at most. */
export const PCI_X_CMD_MAX_SPLIT = 0x0070;
/** 32 bits, of a function: PCI_X_STATUS_*. */
export const PCI_X_STATUS = 4;
/** Its device and function, as it knows them. */
export const PCI_X_STATUS_DEVFN = 0x000000ff;
/** Its bus, as it knows it. */
export const PCI_X_STATUS_BUS = 0x0000ff00;
/** Its bus has 64 bits. */
export const PCI_X_STATUS_64BIT = 0x00010000;
/** It can do 133 MHz. */
export const PCI_X_STATUS_133MHZ = 0x00020000;
/** It discarded a split completion. */
export const PCI_X_STATUS_SPL_DISC = 0x00040000;
/** It got a split completion that it did not expect. */
export const PCI_X_STATUS_UNX_SPL = 0x00080000;
/** It is as complex as a bridge. */
export const PCI_X_STATUS_COMPLEX = 0x00100000;
/** How much it reads at once by design. */
export const PCI_X_STATUS_MAX_READ = 0x00600000;
/** How many split transactions it has by design. */
export const PCI_X_STATUS_MAX_SPLIT = 0x03800000;
/** How much all its reads have at once by design. */
export const PCI_X_STATUS_MAX_CUM = 0x1c000000;
/** It got an error for a split completion. */
export const PCI_X_STATUS_SPL_ERR = 0x20000000;
/** It can do 266 MHz. */
export const PCI_X_STATUS_266MHZ = 0x40000000;
/** It can do 533 MHz. */
export const PCI_X_STATUS_533MHZ = 0x80000000;
/** 16 bits, of a bridge: its further bus, PCI_X_SSTATUS_*. */
export const PCI_X_BRIDGE_SSTATUS = 2;
/** The further bus has 64 bits. */
export const PCI_X_SSTATUS_64BIT = 0x0001;
/** The further bus can do 133 MHz. */
export const PCI_X_SSTATUS_133MHZ = 0x0002;
/** The mode and frequency of the further bus. */
export const PCI_X_SSTATUS_FREQ = 0x03c0;
/** The further bus can do 266 MHz. */
export const PCI_X_SSTATUS_266MHZ = 0x4000;
/** The further bus can do 533 MHz. */
export const PCI_X_SSTATUS_533MHZ = 0x8000;
/** 32 bits, of a bridge: its nearer bus. */
export const PCI_X_BRIDGE_STATUS = 4;
