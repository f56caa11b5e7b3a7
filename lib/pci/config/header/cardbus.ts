/**
 * Decodes the header of a CardBus bridge.
 *
 * @module
 */

import { hex, hexDigits } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/cardbus_regs.ts";
import {
  PCI_BASE_ADDRESS_0,
  PCI_STD_HEADER_SIZEOF,
} from "../../../uapi/pci/regs.ts";
import {
  type ConfigFields,
  type ConfigValue,
  flags,
  type Words,
} from "../words.ts";
import { decodeBars } from "./bars.ts";

/** A window of ports is that wide if its base says so (bit 0), else 16 bits. */
const PORTS_OF_32_BITS = 0x1;
const PORT_ADDRESS = ~0x3;
const MEMORY_GRANULE = 0xfff;

/** Decodes what the header of a CardBus bridge has beyond the common part. */
export function decodeCardbus(words: Words): ConfigFields {
  const control = words.u16(regs.PCI_CB_BRIDGE_CONTROL);
  return {
    bars: decodeBars(words, PCI_BASE_ADDRESS_0, 1),
    primaryBus: words.u8(regs.PCI_CB_PRIMARY_BUS),
    secondaryBus: words.u8(regs.PCI_CB_CARD_BUS),
    subordinateBus: words.u8(regs.PCI_CB_SUBORDINATE_BUS),
    secondaryLatency: words.u8(regs.PCI_CB_LATENCY_TIMER),
    memoryWindow0: memoryWindow(
      words,
      regs.PCI_CB_MEMORY_BASE_0,
      (control & regs.PCI_CB_BRIDGE_CTL_PREFETCH_MEM0) !== 0,
    ),
    memoryWindow1: memoryWindow(
      words,
      regs.PCI_CB_MEMORY_BASE_1,
      (control & regs.PCI_CB_BRIDGE_CTL_PREFETCH_MEM1) !== 0,
    ),
    ioWindow0: ioWindow(words, regs.PCI_CB_IO_BASE_0),
    ioWindow1: ioWindow(words, regs.PCI_CB_IO_BASE_1),
    bridgeControl: flags(control, {
      parityError: regs.PCI_CB_BRIDGE_CTL_PARITY,
      systemError: regs.PCI_CB_BRIDGE_CTL_SERR,
      noIsa: regs.PCI_CB_BRIDGE_CTL_ISA,
      vga: regs.PCI_CB_BRIDGE_CTL_VGA,
      masterAbort: regs.PCI_CB_BRIDGE_CTL_MASTER_ABORT,
      cardReset: regs.PCI_CB_BRIDGE_CTL_CB_RESET,
      interruptOf16BitCards: regs.PCI_CB_BRIDGE_CTL_16BIT_INT,
      postedWrites: regs.PCI_CB_BRIDGE_CTL_POST_WRITES,
    }),
    ...beyondHeader(words),
  };
}

/** Decodes what follows the 64 bytes that everybody may read. */
function beyondHeader(words: Words): ConfigFields {
  if (words.size <= PCI_STD_HEADER_SIZEOF) return {};
  return {
    subsystemVendor: hexDigits(words.u16(regs.PCI_CB_SUBSYSTEM_VENDOR_ID), 4),
    subsystemDevice: hexDigits(words.u16(regs.PCI_CB_SUBSYSTEM_ID), 4),
    legacyPorts: hex(words.u16(regs.PCI_CB_LEGACY_MODE_BASE), 4),
  };
}

function memoryWindow(
  words: Words,
  at: number,
  prefetchable: boolean,
): ConfigValue {
  const start = words.u32(at);
  const last = words.u32(at + 4) + MEMORY_GRANULE;
  return range(start, last, { prefetchable });
}

function ioWindow(words: Words, at: number): ConfigValue {
  const base = words.u32(at);
  const width = (base & PORTS_OF_32_BITS) !== 0 ? 0xffff_ffff : 0xffff;
  const address = (register: number) => (register & width & PORT_ADDRESS) >>> 0;
  return range(address(base), address(words.u32(at + 4)) + 3);
}

/** Decodes a window. A base beyond the limit, or neither, disables it. */
function range(start: number, last: number, more?: ConfigFields): ConfigValue {
  const unset = start === 0 && last <= MEMORY_GRANULE;
  return start > last || unset
    ? null
    : { start: hex(start), last: hex(last), ...more };
}
