/**
 * Decodes the header of config space.
 *
 * @module
 */

import { hex, hexDigits } from "../../../hex.ts";
import {
  PCI_BASE_ADDRESS_0,
  PCI_BIST,
  PCI_BRIDGE_CONTROL,
  PCI_BRIDGE_CTL_BUS_RESET,
  PCI_BRIDGE_CTL_FAST_BACK,
  PCI_BRIDGE_CTL_ISA,
  PCI_BRIDGE_CTL_MASTER_ABORT,
  PCI_BRIDGE_CTL_PARITY,
  PCI_BRIDGE_CTL_SERR,
  PCI_BRIDGE_CTL_VGA,
  PCI_CACHE_LINE_SIZE,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_FAST_BACK,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_INVALIDATE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_COMMAND_PARITY,
  PCI_COMMAND_SERR,
  PCI_COMMAND_SPECIAL,
  PCI_COMMAND_VGA_PALETTE,
  PCI_COMMAND_WAIT,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_HEADER_TYPE_CARDBUS,
  PCI_HEADER_TYPE_MASK,
  PCI_HEADER_TYPE_MFD,
  PCI_HEADER_TYPE_NORMAL,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_IO_BASE,
  PCI_IO_BASE_UPPER16,
  PCI_IO_LIMIT,
  PCI_IO_LIMIT_UPPER16,
  PCI_LATENCY_TIMER,
  PCI_MEMORY_BASE,
  PCI_MEMORY_LIMIT,
  PCI_PREF_BASE_UPPER32,
  PCI_PREF_LIMIT_UPPER32,
  PCI_PREF_MEMORY_BASE,
  PCI_PREF_MEMORY_LIMIT,
  PCI_PRIMARY_BUS,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS_ENABLE,
  PCI_ROM_ADDRESS_MASK,
  PCI_SECONDARY_BUS,
  PCI_STATUS,
  PCI_STATUS_66MHZ,
  PCI_STATUS_CAP_LIST,
  PCI_STATUS_DETECTED_PARITY,
  PCI_STATUS_FAST_BACK,
  PCI_STATUS_INTERRUPT,
  PCI_STATUS_PARITY,
  PCI_STATUS_REC_MASTER_ABORT,
  PCI_STATUS_REC_TARGET_ABORT,
  PCI_STATUS_SIG_SYSTEM_ERROR,
  PCI_STATUS_SIG_TARGET_ABORT,
  PCI_SUBORDINATE_BUS,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from "../../../uapi/pci/regs.ts";
import { type ConfigFields, flags, type Words } from "../words.ts";
import { decodeBars } from "./bars.ts";
import { decodeCardbus } from "./cardbus.ts";
import { window, windowAddress } from "./windows.ts";

/** The interrupt pins by number. */
const PINS = [null, "A", "B", "C", "D"];

/** Decodes the header, by register. */
export function decodeHeader(words: Words): ConfigFields {
  const type = words.u8(PCI_HEADER_TYPE);
  const revision = words.u32(PCI_CLASS_REVISION);
  const kind = type & PCI_HEADER_TYPE_MASK;
  return {
    vendor: hexDigits(words.u16(PCI_VENDOR_ID), 4),
    device: hexDigits(words.u16(PCI_DEVICE_ID), 4),
    class: hexDigits(revision >>> 8, 6),
    revision: hexDigits(revision & 0xff, 2),
    type: kind === PCI_HEADER_TYPE_NORMAL
      ? "endpoint"
      : kind === PCI_HEADER_TYPE_BRIDGE
      ? "bridge"
      : kind === PCI_HEADER_TYPE_CARDBUS
      ? "CardBus bridge"
      : `type ${kind}`,
    multifunction: (type & PCI_HEADER_TYPE_MFD) !== 0,
    command: flags(words.u16(PCI_COMMAND), {
      io: PCI_COMMAND_IO,
      memory: PCI_COMMAND_MEMORY,
      busMaster: PCI_COMMAND_MASTER,
      specialCycle: PCI_COMMAND_SPECIAL,
      writeAndInvalidate: PCI_COMMAND_INVALIDATE,
      vgaSnoop: PCI_COMMAND_VGA_PALETTE,
      parityError: PCI_COMMAND_PARITY,
      stepping: PCI_COMMAND_WAIT,
      systemError: PCI_COMMAND_SERR,
      fastBackToBack: PCI_COMMAND_FAST_BACK,
      intxDisabled: PCI_COMMAND_INTX_DISABLE,
    }),
    status: flags(words.u16(PCI_STATUS), {
      interrupt: PCI_STATUS_INTERRUPT,
      capabilities: PCI_STATUS_CAP_LIST,
      "66MHz": PCI_STATUS_66MHZ,
      fastBackToBack: PCI_STATUS_FAST_BACK,
      masterParityError: PCI_STATUS_PARITY,
      signaledTargetAbort: PCI_STATUS_SIG_TARGET_ABORT,
      receivedTargetAbort: PCI_STATUS_REC_TARGET_ABORT,
      receivedMasterAbort: PCI_STATUS_REC_MASTER_ABORT,
      signaledSystemError: PCI_STATUS_SIG_SYSTEM_ERROR,
      detectedParityError: PCI_STATUS_DETECTED_PARITY,
    }),
    latency: words.u8(PCI_LATENCY_TIMER),
    cacheLine: words.u8(PCI_CACHE_LINE_SIZE) * 4,
    selfTest: hex(words.u8(PCI_BIST), 2),
    interrupt: {
      pin: PINS[words.u8(PCI_INTERRUPT_PIN)] ?? null,
      line: words.u8(PCI_INTERRUPT_LINE),
    },
    ...kind === PCI_HEADER_TYPE_BRIDGE
      ? bridge(words)
      : kind === PCI_HEADER_TYPE_NORMAL
      ? endpoint(words)
      : kind === PCI_HEADER_TYPE_CARDBUS
      ? decodeCardbus(words)
      : {},
  };
}

function endpoint(words: Words): ConfigFields {
  const rom = words.u32(PCI_ROM_ADDRESS);
  return {
    subsystemVendor: hexDigits(words.u16(PCI_SUBSYSTEM_VENDOR_ID), 4),
    subsystemDevice: hexDigits(words.u16(PCI_SUBSYSTEM_ID), 4),
    bars: decodeBars(words, PCI_BASE_ADDRESS_0, 6),
    rom: rom === 0 ? null : {
      address: hex((rom & PCI_ROM_ADDRESS_MASK) >>> 0),
      enabled: (rom & PCI_ROM_ADDRESS_ENABLE) !== 0,
    },
  };
}

function bridge(words: Words): ConfigFields {
  const control = words.u16(PCI_BRIDGE_CONTROL);
  return {
    bars: decodeBars(words, PCI_BASE_ADDRESS_0, 2),
    primaryBus: words.u8(PCI_PRIMARY_BUS),
    secondaryBus: words.u8(PCI_SECONDARY_BUS),
    subordinateBus: words.u8(PCI_SUBORDINATE_BUS),
    ioWindow: window(
      windowAddress(
        words.u8(PCI_IO_BASE),
        0xf0,
        8,
        words.u16(PCI_IO_BASE_UPPER16),
        16,
      ),
      windowAddress(
        words.u8(PCI_IO_LIMIT),
        0xf0,
        8,
        words.u16(PCI_IO_LIMIT_UPPER16),
        16,
      ),
      0xfffn,
    ),
    memoryWindow: window(
      windowAddress(words.u16(PCI_MEMORY_BASE), 0xfff0, 16),
      windowAddress(words.u16(PCI_MEMORY_LIMIT), 0xfff0, 16),
      0xf_ffffn,
    ),
    prefetchableWindow: window(
      windowAddress(
        words.u16(PCI_PREF_MEMORY_BASE),
        0xfff0,
        16,
        words.u32(PCI_PREF_BASE_UPPER32),
        32,
      ),
      windowAddress(
        words.u16(PCI_PREF_MEMORY_LIMIT),
        0xfff0,
        16,
        words.u32(PCI_PREF_LIMIT_UPPER32),
        32,
      ),
      0xf_ffffn,
    ),
    bridgeControl: flags(control, {
      parityError: PCI_BRIDGE_CTL_PARITY,
      systemError: PCI_BRIDGE_CTL_SERR,
      noIsa: PCI_BRIDGE_CTL_ISA,
      vga: PCI_BRIDGE_CTL_VGA,
      masterAbort: PCI_BRIDGE_CTL_MASTER_ABORT,
      busReset: PCI_BRIDGE_CTL_BUS_RESET,
      fastBackToBack: PCI_BRIDGE_CTL_FAST_BACK,
    }),
  };
}
