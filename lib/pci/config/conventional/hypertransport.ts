/**
 * Decodes the HyperTransport capability, which is one of several kinds.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/unnamed_regs.ts";
import { bits, type ConfigFields, flags, type Words } from "../words.ts";

/** The kinds without further registers that matter, by their five bits. */
const KINDS: Readonly<Record<number, string>> = {
  0x08: "switch",
  0x10: "interrupt discovery and configuration",
  0x11: "revision",
  0x12: "unit id clumping",
  0x13: "extended configuration space access",
  0x14: "address mapping",
  0x15: "MSI mapping",
  0x16: "direct route",
  0x17: "virtual channel set",
  0x18: "retry mode",
  0x19: "x86",
  0x1a: "generation 3",
};
const REVISION = 0x11;
const MSI_MAPPING = 0x15;

/** Widths of links in bits, by the register's number. */
const WIDTHS = ["8", "16", null, "32", "2", "4", null, "not connected"];

/** Clock frequencies of links, by the register's number. */
const FREQUENCIES: Readonly<Record<number, string>> = {
  0: "200MHz",
  1: "300MHz",
  2: "400MHz",
  3: "500MHz",
  4: "600MHz",
  5: "800MHz",
  6: "1.0GHz",
  7: "1.2GHz",
  8: "1.4GHz",
  9: "1.6GHz",
  15: "the vendor's",
};

/** Decodes a HyperTransport capability. */
export function hyperTransport(words: Words): ConfigFields {
  const command = words.u16(regs.HT_COMMAND);
  const link = command & regs.HT_LINK_KIND;
  if (link === regs.HT_PRIMARY) return primary(words, command);
  if (link === regs.HT_SECONDARY) return secondary(words, command);
  const kind = bits(command, regs.HT_KIND);
  return {
    kind: KINDS[kind] ?? `kind ${hex(kind, 2)}`,
    ...kind === REVISION && { revision: revision(command & 0xff) },
    ...kind === MSI_MAPPING && msiMapping(words, command),
  };
}

function primary(words: Words, command: number): ConfigFields {
  const id = words.u8(regs.HT_PRIMARY_REVISION);
  const newer = id >= regs.HT_REVISION_1_02;
  return {
    kind: "slave or primary interface",
    revision: revision(id),
    command: {
      baseUnit: bits(command, regs.HT_PRIMARY_UNIT),
      units: bits(command, regs.HT_PRIMARY_UNITS),
      ...flags(command, {
        masterHost: regs.HT_PRIMARY_MASTER,
        defaultDirection: regs.HT_PRIMARY_DIRECTION,
        ...newer && { dropUninitialized: regs.HT_DROP_UNINITIALIZED },
      }),
    },
    link0: {
      ...link(words, regs.HT_PRIMARY_LINK_0),
      ...newer && frequency(words, regs.HT_PRIMARY_FREQUENCY_0),
    },
    link1: {
      ...link(words, regs.HT_PRIMARY_LINK_1),
      ...newer && frequency(words, regs.HT_PRIMARY_FREQUENCY_1),
    },
  };
}

function secondary(words: Words, command: number): ConfigFields {
  const id = words.u8(regs.HT_SECONDARY_REVISION);
  const newer = id >= regs.HT_REVISION_1_02;
  return {
    kind: "host or secondary interface",
    revision: revision(id),
    command: {
      ...flags(command, {
        warmReset: regs.HT_SECONDARY_WARM_RESET,
        doubleEnded: regs.HT_SECONDARY_DOUBLE_ENDED,
        ...newer && {
          hidden: regs.HT_SECONDARY_HIDDEN,
          slave: regs.HT_SECONDARY_SLAVE,
          dropUninitialized: regs.HT_DROP_UNINITIALIZED,
        },
      }),
      ...newer && { device: bits(command, regs.HT_SECONDARY_DEVICE) },
    },
    link: {
      ...link(words, regs.HT_SECONDARY_LINK),
      ...newer && frequency(words, regs.HT_SECONDARY_FREQUENCY),
    },
  };
}

function link(words: Words, at: number): ConfigFields {
  const control = words.u16(at);
  const config = words.u16(at + 2);
  const width = (mask: number) => WIDTHS[bits(config, mask)] ?? null;
  return {
    ...flags(control, {
      failed: regs.HT_LINK_CONTROL_FAILURE,
      initialized: regs.HT_LINK_CONTROL_INITIALIZED,
      endOfChain: regs.HT_LINK_CONTROL_END_OF_CHAIN,
      transmitterOff: regs.HT_LINK_CONTROL_OFF,
      "64bit": regs.HT_LINK_CONTROL_64BIT,
    }),
    crcErrors: hex(bits(control, regs.HT_LINK_CONTROL_CRC_ERRORS)),
    maxWidthIn: width(regs.HT_WIDTH_MAX_IN),
    maxWidthOut: width(regs.HT_WIDTH_MAX_OUT),
    widthIn: width(regs.HT_WIDTH_IN),
    widthOut: width(regs.HT_WIDTH_OUT),
  };
}

function frequency(words: Words, at: number): ConfigFields {
  const number = words.u8(at) & regs.HT_FREQUENCY;
  return { frequency: FREQUENCIES[number] ?? `number ${hex(number)}` };
}

/** Writes a revision as the specification does: `"3.00"`. */
function revision(id: number): string {
  const minor = String(id & regs.HT_REVISION_MINOR).padStart(2, "0");
  return `${bits(id, regs.HT_REVISION_MAJOR)}.${minor}`;
}

function msiMapping(words: Words, command: number): ConfigFields {
  const switches = flags(command, {
    enabled: regs.HT_MSI_ENABLE,
    fixed: regs.HT_MSI_FIXED,
  });
  if (switches.fixed) return switches;
  const low = words.u32(regs.HT_MSI_ADDRESS_LOW) & regs.HT_MSI_ADDRESS_LOW_MASK;
  const high = words.u32(regs.HT_MSI_ADDRESS_HIGH);
  return {
    ...switches,
    address: hex(BigInt(high) << 32n | BigInt(low >>> 0), 8),
  };
}
