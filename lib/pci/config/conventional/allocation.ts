/**
 * Decodes the Enhanced Allocation capability.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/capability_regs.ts";
import {
  bits,
  type ConfigFields,
  type ConfigValue,
  type FunctionFacts,
  type Words,
} from "../words.ts";

/** What a range is, by the register's number (PCIe 6.0, table 7-113). */
const PROPERTIES: Readonly<Record<number, string>> = {
  0x00: "memory",
  0x01: "prefetchable memory",
  0x02: "ports",
  0x03: "prefetchable memory of virtual functions",
  0x04: "memory of virtual functions",
  0x05: "memory behind the bridge",
  0x06: "prefetchable memory behind the bridge",
  0x07: "ports behind the bridge",
  0xfd: "memory not to be used",
  0xfe: "ports not to be used",
  0xff: "unavailable",
};

/** Decodes the ranges that stand for BARs. */
export function enhancedAllocation(
  words: Words,
  { isBridge }: FunctionFacts,
): ConfigFields {
  const count = words.u8(regs.PCI_EA_NUM_ENT) & regs.PCI_EA_NUM_ENT_MASK;
  const entries: ConfigValue[] = [];
  let at = isBridge ? regs.PCI_EA_FIRST_ENT_BRIDGE : regs.PCI_EA_FIRST_ENT;
  for (let i = 0; i < count; i++) {
    const head = words.u32(at);
    entries.push(entry(words, at, head));
    at += 4 * ((head & regs.PCI_EA_ES) + 1);
  }
  return { ...isBridge && buses(words), entries };
}

function buses(words: Words): ConfigFields {
  const numbers = words.u32(regs.PCI_EA_FIRST_ENT);
  return {
    secondaryBus: bits(numbers, regs.PCI_EA_SEC_BUS_MASK),
    subordinateBus: bits(numbers, regs.PCI_EA_SUB_BUS_MASK),
  };
}

function entry(words: Words, at: number, head: number): ConfigFields {
  const base = words.u32(at + 4);
  const most = words.u32(at + 8);
  let next = at + 12;
  const wide = (word: number) => {
    const low = BigInt((word & regs.PCI_EA_FIELD_MASK) >>> 0);
    if ((word & regs.PCI_EA_IS_64) === 0) return low;
    next += 4;
    return low | BigInt(words.u32(next - 4)) << 32n;
  };
  return {
    resource: resource(bits(head, regs.PCI_EA_BEI)),
    enabled: (head & regs.PCI_EA_ENABLE) !== 0,
    writable: (head & regs.PCI_EA_WRITABLE) !== 0,
    properties: properties(bits(head, regs.PCI_EA_PP)),
    secondaryProperties: properties(bits(head, regs.PCI_EA_SP)),
    base: hex(wide(base)),
    maxOffset: hex(wide(most) | 3n),
  };
}

/** Names what an entry stands for, by its BAR Equivalent Indicator. */
function resource(indicator: number): string {
  if (indicator <= regs.PCI_EA_BEI_BAR5) return `BAR ${indicator}`;
  if (indicator === regs.PCI_EA_BEI_BRIDGE) return "behind the bridge";
  if (indicator === regs.PCI_EA_BEI_ROM) return "ROM";
  if (
    indicator >= regs.PCI_EA_BEI_VF_BAR0 &&
    indicator <= regs.PCI_EA_BEI_VF_BAR5
  ) return `VF-BAR ${indicator - regs.PCI_EA_BEI_VF_BAR0}`;
  // PCI_EA_BEI_ENI; the reserved number counts as the same.
  return "not indicated";
}

function properties(number: number): string {
  return PROPERTIES[number] ?? `reserved ${hex(number, 2)}`;
}
