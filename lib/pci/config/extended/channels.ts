/**
 * Decodes virtual channels: of a port, and of a device with several functions.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/extended_regs.ts";
import {
  bits,
  type ConfigFields,
  type ConfigValue,
  flags,
  type Words,
} from "../words.ts";

/** The size of a virtual channel's registers, in bytes. */
const STRIDE = regs.PCI_VC_RES_STATUS - regs.PCI_VC_RES_CAP + 2;

/** How channels take turns, by bit. */
const ARBITRATION = ["fixed", "WRR32", "WRR64", "WRR128"];
const CHANNEL_ARBITRATION = [...ARBITRATION, "time-based WRR128", "WRR256"];

const names = (mask: number, all: readonly string[]) =>
  all.filter((_, bit) => (mask >>> bit & 1) !== 0);

/**
 * Decodes Virtual Channel, and Multi-Function Virtual Channel, whose registers
 * are the same (PCIe 6.0, sections 7.9.1 and 7.9.2).
 */
export function virtualChannels(words: Words): ConfigFields {
  const capabilities = words.u32(regs.PCI_VC_PORT_CAP1);
  const count = bits(capabilities, regs.PCI_VC_CAP1_EVCC) + 1;
  return {
    lowPriority: bits(capabilities, regs.PCI_VC_CAP1_LPEVCC),
    arbitration: names(words.u32(regs.PCI_VC_PORT_CAP2) & 0xff, ARBITRATION),
    ...flags(words.u16(regs.PCI_VC_PORT_STATUS), {
      loadingTable: regs.PCI_VC_PORT_STATUS_TABLE,
    }),
    channels: Array.from({ length: count }, (_, i) => channel(words, i)),
  };
}

function channel(words: Words, index: number): ConfigValue {
  const at = (register: number) => register + index * STRIDE;
  const control = words.u32(at(regs.PCI_VC_RES_CTRL));
  return {
    id: bits(control, regs.PCI_VC_RES_CTRL_ID),
    enabled: (control & regs.PCI_VC_RES_CTRL_ENABLE) !== 0,
    trafficClasses: hex(control & 0xff, 2),
    arbitration: names(
      words.u32(at(regs.PCI_VC_RES_CAP)) & 0xff,
      CHANNEL_ARBITRATION,
    ),
    selected: CHANNEL_ARBITRATION[
      bits(control, regs.PCI_VC_RES_CTRL_ARB_SELECT)
    ] ?? null,
    ...flags(words.u16(at(regs.PCI_VC_RES_STATUS)), {
      negotiating: regs.PCI_VC_RES_STATUS_NEGO,
      loadingTable: regs.PCI_VC_RES_STATUS_TABLE,
    }),
  };
}
