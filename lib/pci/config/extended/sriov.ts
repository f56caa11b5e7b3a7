/**
 * Decodes the SR-IOV capability.
 *
 * @module
 */

import { hex, hexDigits } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/express_regs.ts";
import { decodeBars } from "../header/bars.ts";
import { type ConfigFields, flags, type Words } from "../words.ts";

/** Decodes the SR-IOV capability. */
export function decodeSriov(words: Words): ConfigFields {
  return {
    capabilities: flags(words.u32(regs.PCI_SRIOV_CAP), {
      migration: regs.PCI_SRIOV_CAP_VFM,
    }),
    control: flags(words.u16(regs.PCI_SRIOV_CTRL), {
      enabled: regs.PCI_SRIOV_CTRL_VFE,
      migration: regs.PCI_SRIOV_CTRL_VFM,
      interrupt: regs.PCI_SRIOV_CTRL_INTR,
      memory: regs.PCI_SRIOV_CTRL_MSE,
      ari: regs.PCI_SRIOV_CTRL_ARI,
    }),
    initial: words.u16(regs.PCI_SRIOV_INITIAL_VF),
    total: words.u16(regs.PCI_SRIOV_TOTAL_VF),
    number: words.u16(regs.PCI_SRIOV_NUM_VF),
    dependency: words.u8(regs.PCI_SRIOV_FUNC_LINK),
    offset: words.u16(regs.PCI_SRIOV_VF_OFFSET),
    stride: words.u16(regs.PCI_SRIOV_VF_STRIDE),
    device: hexDigits(words.u16(regs.PCI_SRIOV_VF_DID), 4),
    pageSizes: hex(words.u32(regs.PCI_SRIOV_SUP_PGSIZE), 8),
    pageSize: hex(words.u32(regs.PCI_SRIOV_SYS_PGSIZE), 8),
    bars: decodeBars(words, regs.PCI_SRIOV_BAR, regs.PCI_SRIOV_NUM_BARS),
  };
}
