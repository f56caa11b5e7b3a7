/**
 * Decodes capabilities about transactions: hints, multicast, data objects, and
 * the equalization of lanes.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/extended_regs.ts";
import * as unnamed from "../../../uapi/pci/unnamed_regs.ts";
import {
  bits,
  type ConfigFields,
  flags,
  type FunctionFacts,
  type Words,
} from "../words.ts";

/** Where a steering table is, by the register's number. */
const TABLES = ["none", "in the capability", "in the MSI-X table"];
const MODES = ["none", "interrupt vector", "device specific"];
const REQUESTERS: Readonly<Record<number, string>> = {
  0: "off",
  1: "on",
  3: "extended",
};

/** Decodes Transaction Processing Hints. */
export function processingHints(words: Words): ConfigFields {
  const capabilities = words.u32(regs.PCI_TPH_CAP);
  const control = words.u32(regs.PCI_TPH_CTRL);
  const table = bits(capabilities, regs.PCI_TPH_CAP_LOC_MASK);
  const mode = bits(control, regs.PCI_TPH_CTRL_MODE_SEL_MASK);
  const requester = bits(control, regs.PCI_TPH_CTRL_REQ_EN_MASK);
  return {
    modes: flags(capabilities, {
      none: regs.PCI_TPH_CAP_ST_NS,
      interruptVector: regs.PCI_TPH_CAP_ST_IV,
      deviceSpecific: regs.PCI_TPH_CAP_ST_DS,
    }),
    extended: (capabilities & regs.PCI_TPH_CAP_EXT_TPH) !== 0,
    steeringTable: TABLES[table] ?? `reserved ${table}`,
    ...table !== 0 && {
      tableSize: bits(capabilities, regs.PCI_TPH_CAP_ST_MASK) + 1,
    },
    mode: MODES[mode] ?? `reserved ${mode}`,
    requester: REQUESTERS[requester] ?? `reserved ${requester}`,
  };
}

/** Decodes Multicast. Only ports have an overlay, only endpoints a window. */
export function multicast(
  words: Words,
  { isPort }: FunctionFacts,
): ConfigFields {
  const capabilities = words.u16(unnamed.MULTICAST_CAPABILITIES);
  const control = words.u16(unnamed.MULTICAST_CONTROL);
  const base = words.u64(unnamed.MULTICAST_BASE);
  return {
    maxGroups: bits(capabilities, unnamed.MULTICAST_MAX_GROUP) + 1,
    ...isPort
      ? flags(capabilities, { ecrcRegeneration: unnamed.MULTICAST_ECRC })
      : { windowSize: 2 ** bits(capabilities, unnamed.MULTICAST_WINDOW) },
    groups: bits(control, unnamed.MULTICAST_GROUP) + 1,
    enabled: (control & unnamed.MULTICAST_ENABLE) !== 0,
    indexPosition: Number(base & 0x3fn),
    base: hex(base & ~0xfffn, 16),
    receive: hex(words.u64(unnamed.MULTICAST_RECEIVE), 16),
    blockAll: hex(words.u64(unnamed.MULTICAST_BLOCK_ALL), 16),
    blockUntranslated: hex(words.u64(unnamed.MULTICAST_BLOCK_UNTRANSLATED), 16),
    ...isPort && overlay(words.u64(unnamed.MULTICAST_OVERLAY)),
  };
}

/** Decodes the overlay. It is off if it is smaller than 64 bytes. */
function overlay(register: bigint): ConfigFields {
  const exponent = Number(register & 0x3fn);
  return {
    overlay: exponent < 6
      ? null
      : { size: 2 ** exponent, base: hex(register & ~0x3fn, 16) },
  };
}

/** Decodes Data Object Exchange. */
export function dataObjects(words: Words): ConfigFields {
  const capabilities = words.u32(regs.PCI_DOE_CAP);
  const interrupt = (capabilities & regs.PCI_DOE_CAP_INT_SUP) !== 0;
  return {
    interrupt,
    ...interrupt && {
      interruptMessage: bits(capabilities, regs.PCI_DOE_CAP_INT_MSG_NUM),
    },
    control: flags(words.u32(regs.PCI_DOE_CTRL), {
      interrupt: regs.PCI_DOE_CTRL_INT_EN,
    }),
    status: flags(words.u32(regs.PCI_DOE_STATUS), {
      busy: regs.PCI_DOE_STATUS_BUSY,
      interrupt: regs.PCI_DOE_STATUS_INT_STATUS,
      error: regs.PCI_DOE_STATUS_ERROR,
      ready: regs.PCI_DOE_STATUS_DATA_OBJECT_READY,
    }),
  };
}

/** Decodes Secondary PCI Express. */
export function secondaryExpress(words: Words): ConfigFields {
  const errors = words.u32(unnamed.SECONDARY_LANE_ERRORS);
  return {
    linkControl3: flags(words.u32(unnamed.SECONDARY_LINK_CONTROL_3), {
      equalizationInterrupt: unnamed.SECONDARY_EQUALIZATION_INTERRUPT,
      performEqualization: unnamed.SECONDARY_PERFORM_EQUALIZATION,
    }),
    lanesWithErrors: Array.from({ length: 32 }, (_, lane) => lane)
      .filter((lane) => (errors >>> lane & 1) !== 0),
  };
}
