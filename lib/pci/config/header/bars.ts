/**
 * Decodes base address registers.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import {
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_MEM_TYPE_MASK,
  PCI_BASE_ADDRESS_SPACE_IO,
} from "../../../uapi/pci/regs.ts";
import type { ConfigValue, Words } from "../words.ts";

/**
 * Decodes base address registers. They contain addresses; only sysfs has the
 * sizes.
 *
 * @param words The config space or capability.
 * @param first The offset of the first register.
 * @param count How many there can be.
 */
export function decodeBars(
  words: Words,
  first: number,
  count: number,
): ConfigValue[] {
  const found: ConfigValue[] = [];
  for (let index = 0; index < count; index++) {
    const at = first + 4 * index;
    const low = words.u32(at);
    if (low === 0) continue;
    if ((low & PCI_BASE_ADDRESS_SPACE_IO) !== 0) {
      found.push({ index, kind: "io", address: hex((low & ~0x3) >>> 0) });
      continue;
    }
    const is64bit = (low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ===
        PCI_BASE_ADDRESS_MEM_TYPE_64 && index + 1 < count;
    const high = is64bit ? words.u32(at + 4) : 0;
    found.push({
      index,
      kind: "memory",
      address: hex(BigInt(high) << 32n | BigInt((low & ~0xf) >>> 0)),
      is64bit,
      prefetchable: (low & PCI_BASE_ADDRESS_MEM_PREFETCH) !== 0,
    });
    if (is64bit) index++;
  }
  return found;
}
