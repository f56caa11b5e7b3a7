/**
 * `linux/pci_regs.h`: Integrity and Data Encryption. Offsets are in bytes, from
 * the start of the capability or of a stream's registers.
 *
 * @module
 */

/** 32 bits: what the port can do, PCI_IDE_CAP_*. */
export const PCI_IDE_CAP = 0x04;
export const PCI_IDE_CAP_LINK = 0x1;
export const PCI_IDE_CAP_SELECTIVE = 0x2;
export const PCI_IDE_CAP_FLOWTHROUGH = 0x4;
export const PCI_IDE_CAP_PARTIAL_HEADER_ENC = 0x8;
export const PCI_IDE_CAP_AGGREGATION = 0x10;
export const PCI_IDE_CAP_PCRC = 0x20;
export const PCI_IDE_CAP_IDE_KM = 0x40;
export const PCI_IDE_CAP_SEL_CFG = 0x80;
/** The algorithm, 0 for AES-GCM with 256-bit keys and 96-bit MACs. */
export const PCI_IDE_CAP_ALG = 0x00001f00;
/** The number of traffic classes less one, which is that of link streams. */
export const PCI_IDE_CAP_LINK_TC_NUM = 0x0000e000;
/** The number of selective streams less one. */
export const PCI_IDE_CAP_SEL_NUM = 0x00ff0000;
export const PCI_IDE_CAP_TEE_LIMITED = 0x1000000;
/** 32 bits: what the port does. */
export const PCI_IDE_CTL = 0x08;
export const PCI_IDE_CTL_FLOWTHROUGH_IDE = 0x4;

/** The registers of the first link stream; selective streams follow them. */
export const PCI_IDE_LINK_STREAM_0 = 0xc;
/** Bytes of a link stream's registers. */
export const PCI_IDE_LINK_BLOCK_SIZE = 8;
/** 32 bits: a link stream's control, PCI_IDE_LINK_CTL_*. */
export const PCI_IDE_LINK_CTL_0 = 0x00;
export const PCI_IDE_LINK_CTL_EN = 0x1;
export const PCI_IDE_LINK_CTL_PCRC_EN = 0x100;
export const PCI_IDE_LINK_CTL_ALG = 0x0007c000;
export const PCI_IDE_LINK_CTL_TC = 0x00380000;
export const PCI_IDE_LINK_CTL_ID = 0xff000000;
/** 32 bits: a link stream's state. */
export const PCI_IDE_LINK_STS_0 = 0x4;
export const PCI_IDE_LINK_STS_STATE = 0x0000000f;
export const PCI_IDE_LINK_STS_IDE_FAIL = 0x80000000;

/** 32 bits: what a selective stream has. */
export const PCI_IDE_SEL_CAP = 0x00;
/** How many ranges of addresses follow. */
export const PCI_IDE_SEL_CAP_ASSOC_NUM = 0x0000000f;
/** 32 bits: a selective stream's control, PCI_IDE_SEL_CTL_*. */
export const PCI_IDE_SEL_CTL = 0x04;
export const PCI_IDE_SEL_CTL_EN = 0x1;
export const PCI_IDE_SEL_CTL_PCRC_EN = 0x100;
export const PCI_IDE_SEL_CTL_CFG_EN = 0x200;
export const PCI_IDE_SEL_CTL_ALG = 0x0007c000;
export const PCI_IDE_SEL_CTL_TC = 0x00380000;
export const PCI_IDE_SEL_CTL_DEFAULT = 0x400000;
export const PCI_IDE_SEL_CTL_ID = 0xff000000;
/** 32 bits: a selective stream's state. */
export const PCI_IDE_SEL_STS = 0x08;
export const PCI_IDE_SEL_STS_STATE = 0x0000000f;
export const PCI_IDE_SEL_STS_IDE_FAIL = 0x80000000;
/** 32 bits: the last requester of the stream. */
export const PCI_IDE_SEL_RID_1 = 0x0c;
export const PCI_IDE_SEL_RID_1_LIMIT = 0x00ffff00;
/** 32 bits: the first requester of the stream. */
export const PCI_IDE_SEL_RID_2 = 0x10;
export const PCI_IDE_SEL_RID_2_VALID = 0x1;
export const PCI_IDE_SEL_RID_2_BASE = 0x00ffff00;
export const PCI_IDE_SEL_RID_2_SEG = 0xff000000;
/** Bytes of the three registers of a range of addresses. */
export const PCI_IDE_SEL_ADDR_BLOCK_SIZE = 12;
export const PCI_IDE_SEL_ADDR_1_VALID = 0x1;
export const PCI_IDE_SEL_ADDR_1_BASE_LOW = 0x000fff00;
export const PCI_IDE_SEL_ADDR_1_LIMIT_LOW = 0xfff00000;
