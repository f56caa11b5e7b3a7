/**
 * Expansion ROMs, as hardware has them: the header of an image and its PCI data
 * structure, little-endian (PCI Local Bus Specification 3.0, section 6.3.1; PCI
 * Firmware Specification 3.0, section 5.1). The kernel has no names for them
 * (`drivers/pci/rom.c`), so these are the project's own.
 *
 * @module
 */

/** An image begins on a multiple of it, and its length is counted in it. */
export const PCI_ROM_UNIT = 512;
/** As much as an expansion ROM's BAR can ask for. */
export const PCI_ROM_MAX_SIZE = 1 << 24;

// The header of an image, from its beginning
export const PCI_ROM_SIGNATURE = 0x00;
export const PCI_ROM_SIGNATURE_VALUE = 0xaa55;
/** Where the PCI data structure is, from the image's beginning. */
export const PCI_ROM_DATA = 0x18;
export const PCI_ROM_HEADER_SIZE = 0x1a;

// The PCI data structure, from its beginning
export const PCI_ROM_DATA_SIGNATURE = 0x00;
/** `PCIR`. */
export const PCI_ROM_DATA_SIGNATURE_VALUE = 0x5249_4350;
export const PCI_ROM_DATA_VENDOR_ID = 0x04;
export const PCI_ROM_DATA_DEVICE_ID = 0x06;
/**
 * From revision 3 on: where further device ids are, from the structure's
 * beginning, up to one of 0. Before, it pointed to vital product data.
 */
export const PCI_ROM_DATA_DEVICE_LIST = 0x08;
export const PCI_ROM_DATA_LENGTH = 0x0a;
export const PCI_ROM_DATA_REVISION = 0x0c;
export const PCI_ROM_DATA_REVISION_DEVICE_LIST = 3;
export const PCI_ROM_DATA_CLASS = 0x0d;
/** The image's length in units. */
export const PCI_ROM_DATA_IMAGE_LENGTH = 0x10;
export const PCI_ROM_DATA_CODE_TYPE = 0x14;
export const PCI_ROM_CODE_EFI = 3;
export const PCI_ROM_DATA_INDICATOR = 0x15;
export const PCI_ROM_INDICATOR_LAST = 0x80;
/** Its length before revision 3, which what it has at its end says too. */
export const PCI_ROM_DATA_SIZE = 0x18;
