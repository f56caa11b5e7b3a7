/**
 * Decodes designated vendor-specific capabilities (DVSEC), and those of Compute
 * Express Link (CXL) to their end.
 *
 * @module
 */

import { hex, hexDigits } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/cxl_regs.ts";
import {
  PCI_DVSEC_HEADER1,
  PCI_DVSEC_HEADER2,
} from "../../../uapi/pci/extended_regs.ts";
import {
  bits,
  type ConfigFields,
  type ConfigValue,
  flags,
  type Words,
} from "../words.ts";

/** What is known of a CXL DVSEC: its name, and how its registers decode. */
type Dvsec = readonly [
  name: string,
  decode?: (words: Words, revision: number, length: number) => ConfigFields,
];

const DVSECS: Readonly<Record<number, Dvsec>> = {
  [regs.CXL_DEVICE]: ["CXL device", device],
  [regs.CXL_FUNCTION_MAP]: ["CXL function map", functionMap],
  [regs.CXL_PORT]: ["CXL port", port],
  [regs.CXL_PORT_FLUSH]: ["CXL port's persistent flush", portFlush],
  [regs.CXL_DEVICE_FLUSH]: ["CXL device's persistent flush", deviceFlush],
  [regs.CXL_FLEX_BUS]: ["CXL Flex Bus port", flexBus],
  [regs.CXL_REGISTERS]: ["CXL register locator", registers],
  [regs.CXL_LOGICAL_DEVICES]: ["CXL logical devices", logicalDevices],
  [regs.CXL_TEST]: ["CXL test"],
};

/** Decodes a designated vendor-specific capability. */
export function designatedVendor(words: Words): ConfigFields {
  const head = words.u32(PCI_DVSEC_HEADER1);
  const id = words.u16(PCI_DVSEC_HEADER2);
  const vendor = head & 0xffff;
  const revision = head >>> 16 & 0xf;
  const length = head >>> 20;
  const [name, decode] = vendor === regs.CXL_VENDOR_ID
    ? DVSECS[id] ?? [`CXL ${hex(id, 4)}`]
    : [];
  return {
    vendor: hexDigits(vendor, 4),
    id: hexDigits(id, 4),
    revision,
    length,
    ...name !== undefined && { about: name },
    ...decode?.(words, revision, length),
  };
}

const PROTOCOLS = {
  cache: regs.CXL_CACHE,
  io: regs.CXL_IO,
  memory: regs.CXL_MEMORY,
};

/** Decodes a device. Revision 0 has other registers, which nothing decodes. */
function device(words: Words, revision: number, length: number): ConfigFields {
  if (revision === 0 || length < regs.CXL_DEVICE_SIZE) return {};
  const capabilities = words.u16(regs.CXL_DEVICE_CAPABILITIES);
  const ranges = bits(capabilities, regs.CXL_RANGES);
  return {
    capabilities: {
      ...flags(capabilities, {
        ...PROTOCOLS,
        memoryInitializes: regs.CXL_MEMORY_INITIALIZES,
        viral: regs.CXL_VIRAL,
      }),
      ranges,
    },
    control: flags(words.u16(regs.CXL_DEVICE_CONTROL), {
      ...PROTOCOLS,
      viral: regs.CXL_VIRAL,
    }),
    status: {
      ...flags(words.u16(regs.CXL_DEVICE_STATUS), { viral: regs.CXL_VIRAL }),
      ...flags(words.u16(regs.CXL_DEVICE_STATUS_2), {
        resetComplete: regs.CXL_RESET_COMPLETE,
        resetError: regs.CXL_RESET_ERROR,
        powerManaged: regs.CXL_POWER_MANAGED,
      }),
    },
    ranges: [0, 1].map((index) => memoryRange(words, index)),
  };
}

function memoryRange(words: Words, index: number): ConfigValue {
  const at = regs.CXL_DEVICE_RANGES + index * regs.CXL_RANGE_STRIDE;
  const word = (offset: number) => BigInt(words.u32(at + offset));
  const granule = ~0xfff_ffffn;
  return {
    ...flags(words.u16(at + 4), {
      valid: regs.CXL_RANGE_VALID,
      active: regs.CXL_RANGE_ACTIVE,
    }),
    base: hex((word(8) << 32n | word(12)) & granule),
    size: hex((word(0) << 32n | word(4)) & granule),
  };
}

function functionMap(words: Words): ConfigFields {
  return {
    functions: Array.from(
      { length: 8 },
      (_, i) => hex(words.u32(regs.CXL_FUNCTION_MAP_FIRST + 4 * i), 8),
    ),
  };
}

function port(words: Words, _revision: number, length: number): ConfigFields {
  if (length < regs.CXL_PORT_SIZE) return {};
  return {
    status: flags(words.u16(regs.CXL_PORT_STATUS), {
      powerManaged: regs.CXL_PORT_STATUS_POWER,
    }),
    control: flags(words.u16(regs.CXL_PORT_CONTROL), {
      unmaskReset: regs.CXL_PORT_UNMASK_RESET,
      unmaskDisable: regs.CXL_PORT_UNMASK_DISABLE,
      otherMemory: regs.CXL_PORT_OTHER_MEMORY,
      otherMaster: regs.CXL_PORT_OTHER_MASTER,
      viral: regs.CXL_VIRAL,
    }),
    firstBus: words.u8(regs.CXL_PORT_FIRST_BUS),
    lastBus: words.u8(regs.CXL_PORT_LAST_BUS),
  };
}

/** Units of time, by the register's number. */
const UNITS = ["us", "0us", "00us", "ms", "0ms", "00ms", "s", "0s"];

/** Writes a time: a number from 0 to 15, and a unit that adds its zeros. */
function time(register: number): string {
  const unit = UNITS[bits(register, regs.CXL_FLUSH_UNIT)] ?? " reserved";
  return `${bits(register, regs.CXL_FLUSH_NUMBER)}${unit}`
    .replace(/^0+(?=\d)/, "");
}

function portFlush(words: Words): ConfigFields {
  return {
    phase1: time(words.u16(regs.CXL_PORT_FLUSH_1)),
    phase2: time(words.u16(regs.CXL_PORT_FLUSH_2)),
  };
}

function deviceFlush(words: Words): ConfigFields {
  return {
    phase2: time(words.u16(regs.CXL_DEVICE_FLUSH_TIME)),
    phase2Milliwatts: words.u32(regs.CXL_DEVICE_FLUSH_POWER),
  };
}

function flexBus(words: Words, revision: number): ConfigFields {
  const masks = {
    ...PROTOCOLS,
    flit68: regs.CXL_FLEX_FLIT_68,
    logicalDevices: regs.CXL_FLEX_LOGICAL_DEVICES,
    ...revision >= 2 && {
      flit256: regs.CXL_FLEX_FLIT_256,
      flitPbr: regs.CXL_FLEX_FLIT_PBR,
    },
  };
  return {
    capabilities: flags(words.u16(regs.CXL_FLEX_CAPABILITIES), masks),
    control: flags(words.u16(regs.CXL_FLEX_CONTROL), masks),
    status: flags(words.u16(regs.CXL_FLEX_STATUS), masks),
    ...revision >= 1 && {
      received: hex(
        bits(words.u32(regs.CXL_FLEX_TRAINING), regs.CXL_FLEX_TRAINING_DATA),
        6,
      ),
    },
  };
}

/** What a block of registers has, by its number. */
const BLOCKS: Readonly<Record<number, string>> = {
  1: "component registers",
  2: "BAR virtualization",
  3: "CXL device registers",
  4: "CPMU registers",
  0xff: "vendor-specific",
};

function registers(
  words: Words,
  _revision: number,
  length: number,
): ConfigFields {
  const blocks: ConfigValue[] = [];
  for (
    let at = regs.CXL_BLOCKS;
    at + regs.CXL_BLOCK_SIZE <= length;
    at += regs.CXL_BLOCK_SIZE
  ) {
    const low = words.u32(at);
    const kind = bits(low, regs.CXL_BLOCK_KIND);
    if (kind === 0) continue;
    const offset = BigInt(words.u32(at + 4)) << 32n |
      BigInt((low & regs.CXL_BLOCK_OFFSET) >>> 0);
    blocks.push({
      about: BLOCKS[kind] ?? `number ${hex(kind, 2)}`,
      bar: low & regs.CXL_BLOCK_BAR,
      offset: hex(offset, 16),
    });
  }
  return { blocks };
}

function logicalDevices(words: Words): ConfigFields {
  return { count: words.u16(regs.CXL_LOGICAL_DEVICES_COUNT) };
}
