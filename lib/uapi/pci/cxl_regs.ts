/**
 * The DVSECs of Compute Express Link. `linux/pci_regs.h` names only some of
 * them, so the names are the project's own (CXL Specification 3.1, section
 * 8.1). Offsets are in bytes, from the start of the capability.
 *
 * @module
 */

/** Who defines them. */
export const CXL_VENDOR_ID = 0x1e98;

// What a DVSEC is about
export const CXL_DEVICE = 0;
export const CXL_FUNCTION_MAP = 2;
export const CXL_PORT = 3;
export const CXL_PORT_FLUSH = 4;
export const CXL_DEVICE_FLUSH = 5;
export const CXL_FLEX_BUS = 7;
export const CXL_REGISTERS = 8;
export const CXL_LOGICAL_DEVICES = 9;
export const CXL_TEST = 10;

// A device: revision 0 is that of CXL 1.1, with other registers
export const CXL_DEVICE_SIZE = 0x38;
export const CXL_DEVICE_CAPABILITIES = 0x0a;
export const CXL_DEVICE_CONTROL = 0x0c;
export const CXL_CACHE = 0x0001;
export const CXL_IO = 0x0002;
export const CXL_MEMORY = 0x0004;
export const CXL_MEMORY_INITIALIZES = 0x0008;
export const CXL_RANGES = 0x0030;
export const CXL_VIRAL = 0x4000;
export const CXL_DEVICE_STATUS = 0x0e;
export const CXL_DEVICE_STATUS_2 = 0x12;
export const CXL_RESET_COMPLETE = 0x0002;
export const CXL_RESET_ERROR = 0x0004;
export const CXL_POWER_MANAGED = 0x8000;
export const CXL_DEVICE_RANGES = 0x18;
export const CXL_RANGE_STRIDE = 0x10;
export const CXL_RANGE_VALID = 0x0001;
export const CXL_RANGE_ACTIVE = 0x0002;

// A port
export const CXL_PORT_SIZE = 0x28;
export const CXL_PORT_STATUS = 0x0a;
export const CXL_PORT_STATUS_POWER = 0x0001;
export const CXL_PORT_CONTROL = 0x0c;
export const CXL_PORT_UNMASK_RESET = 0x0001;
export const CXL_PORT_UNMASK_DISABLE = 0x0002;
export const CXL_PORT_OTHER_MEMORY = 0x0004;
export const CXL_PORT_OTHER_MASTER = 0x0008;
export const CXL_PORT_FIRST_BUS = 0x0e;
export const CXL_PORT_LAST_BUS = 0x0f;

// Global persistent flush: a time is a number and a unit
export const CXL_PORT_FLUSH_1 = 0x0c;
export const CXL_PORT_FLUSH_2 = 0x0e;
export const CXL_DEVICE_FLUSH_TIME = 0x0a;
export const CXL_DEVICE_FLUSH_POWER = 0x0c;
export const CXL_FLUSH_NUMBER = 0x000f;
export const CXL_FLUSH_UNIT = 0x0f00;

// A Flex Bus port
export const CXL_FLEX_CAPABILITIES = 0x0a;
export const CXL_FLEX_CONTROL = 0x0c;
export const CXL_FLEX_STATUS = 0x0e;
export const CXL_FLEX_FLIT_68 = 0x0020;
export const CXL_FLEX_LOGICAL_DEVICES = 0x0040;
export const CXL_FLEX_FLIT_256 = 0x2000;
export const CXL_FLEX_FLIT_PBR = 0x4000;
export const CXL_FLEX_TRAINING = 0x10;
export const CXL_FLEX_TRAINING_DATA = 0x00ffffff;

// Where a component's registers are
export const CXL_BLOCKS = 0x0c;
export const CXL_BLOCK_SIZE = 8;
export const CXL_BLOCK_BAR = 0x0007;
export const CXL_BLOCK_KIND = 0xff00;
export const CXL_BLOCK_OFFSET = 0xffff0000;

// Others
export const CXL_LOGICAL_DEVICES_COUNT = 0x0a;
export const CXL_FUNCTION_MAP_FIRST = 0x0c;
