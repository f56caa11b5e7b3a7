/**
 * Registers of capabilities that `linux/pci_regs.h` does not name, so that the
 * names are the project's own. Offsets are in bytes, from the start of the
 * capability. Sources: HyperTransport I/O Link Specification 3.10, chapter 7;
 * PCI Express Base Specification 6.0, sections 7.7.3 (Secondary PCI Express)
 * and 7.9.11 (Multicast); PCI-X Protocol Addendum 2.0, section 8.6.
 *
 * @module
 */

// Extended capabilities
export const EXT_CAP_LN_REQUESTER = 0x1c;
export const EXT_CAP_M_PHY = 0x20;
export const EXT_CAP_FRS_QUEUEING = 0x21;
export const EXT_CAP_READINESS_TIME = 0x22;
export const EXT_CAP_LANE_MARGINING = 0x27;
export const EXT_CAP_HIERARCHY_ID = 0x28;
export const EXT_CAP_ALTERNATE_PROTOCOL = 0x2b;
export const EXT_CAP_SYSTEM_FIRMWARE = 0x2c;
export const EXT_CAP_SHADOW_FUNCTIONS = 0x2d;

// HyperTransport: its kind is in the upper bits of the command
export const HT_COMMAND = 2;
/** Three bits suffice for links. */
export const HT_LINK_KIND = 0xe000;
export const HT_PRIMARY = 0x0000;
export const HT_SECONDARY = 0x2000;
/** Five bits tell the others apart. */
export const HT_KIND = 0xf800;
/** A revision, where it is a capability of its own. */
export const HT_REVISION_MAJOR = 0xe0;
export const HT_REVISION_MINOR = 0x1f;
/** From revision 1.02 on, links have more registers. */
export const HT_REVISION_1_02 = 0x22;

// HyperTransport: the command of a link
export const HT_PRIMARY_UNIT = 0x001f;
export const HT_PRIMARY_UNITS = 0x03e0;
export const HT_PRIMARY_MASTER = 0x0400;
export const HT_PRIMARY_DIRECTION = 0x0800;
export const HT_SECONDARY_WARM_RESET = 0x0001;
export const HT_SECONDARY_DOUBLE_ENDED = 0x0002;
export const HT_SECONDARY_DEVICE = 0x007c;
export const HT_SECONDARY_HIDDEN = 0x0100;
export const HT_SECONDARY_SLAVE = 0x0400;
export const HT_DROP_UNINITIALIZED = 0x1000;

// HyperTransport: the registers of links
export const HT_LINK_CONTROL_FAILURE = 0x0010;
export const HT_LINK_CONTROL_INITIALIZED = 0x0020;
export const HT_LINK_CONTROL_END_OF_CHAIN = 0x0040;
export const HT_LINK_CONTROL_OFF = 0x0080;
export const HT_LINK_CONTROL_CRC_ERRORS = 0x0f00;
export const HT_LINK_CONTROL_64BIT = 0x8000;
export const HT_WIDTH_MAX_IN = 0x0007;
export const HT_WIDTH_MAX_OUT = 0x0070;
export const HT_WIDTH_IN = 0x0700;
export const HT_WIDTH_OUT = 0x7000;
export const HT_FREQUENCY = 0x0f;
export const HT_PRIMARY_LINK_0 = 4;
export const HT_PRIMARY_LINK_1 = 8;
export const HT_PRIMARY_REVISION = 12;
export const HT_PRIMARY_FREQUENCY_0 = 13;
export const HT_PRIMARY_FREQUENCY_1 = 17;
export const HT_SECONDARY_LINK = 4;
export const HT_SECONDARY_REVISION = 8;
export const HT_SECONDARY_FREQUENCY = 9;

// HyperTransport: where MSI is mapped to
export const HT_MSI_ENABLE = 0x1;
export const HT_MSI_FIXED = 0x2;
export const HT_MSI_ADDRESS_LOW = 4;
export const HT_MSI_ADDRESS_LOW_MASK = 0xfff00000;
export const HT_MSI_ADDRESS_HIGH = 8;

// PCI-X: the rest of a bridge's registers
export const PCI_X_UPSTREAM = 8;
export const PCI_X_DOWNSTREAM = 12;
export const PCI_X_SPLIT_CAPACITY = 0x0000ffff;
export const PCI_X_SPLIT_LIMIT = 0xffff0000;

// Secondary PCI Express
export const SECONDARY_LINK_CONTROL_3 = 0x04;
export const SECONDARY_PERFORM_EQUALIZATION = 0x0001;
export const SECONDARY_EQUALIZATION_INTERRUPT = 0x0002;
/** 32 bits: a bit for each lane. */
export const SECONDARY_LANE_ERRORS = 0x08;

// Multicast
export const MULTICAST_CAPABILITIES = 0x04;
export const MULTICAST_MAX_GROUP = 0x003f;
/** Of endpoints: the window that they ask for, as an exponent. */
export const MULTICAST_WINDOW = 0x3f00;
/** Of ports: they make ECRC anew. */
export const MULTICAST_ECRC = 0x8000;
export const MULTICAST_CONTROL = 0x06;
export const MULTICAST_GROUP = 0x003f;
export const MULTICAST_ENABLE = 0x8000;
/** 64 bits: the address, and in its low bits where the group's number is. */
export const MULTICAST_BASE = 0x08;
export const MULTICAST_RECEIVE = 0x10;
export const MULTICAST_BLOCK_ALL = 0x18;
export const MULTICAST_BLOCK_UNTRANSLATED = 0x20;
/** Of ports, 64 bits: the address, and in its low bits the size's exponent. */
export const MULTICAST_OVERLAY = 0x28;
