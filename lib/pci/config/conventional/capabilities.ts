/**
 * Decodes the capabilities in the first 256 bytes of config space.
 *
 * @module
 */

import { hex, hexDigits } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/regs.ts";
import { enhancedAllocation } from "./allocation.ts";
import { decodeExpress } from "./express.ts";
import { hyperTransport } from "./hypertransport.ts";
import { pciX } from "./pci_x.ts";
import {
  bits,
  type ConfigFields,
  flags,
  type Known,
  type Words,
} from "../words.ts";

/** The known capabilities, by id. */
export const CAPABILITIES: Readonly<Record<number, Known>> = {
  // A placeholder that only links to the next.
  0: ["Null"],
  [regs.PCI_CAP_ID_PM]: ["Power Management", powerManagement],
  [regs.PCI_CAP_ID_AGP]: ["AGP"],
  [regs.PCI_CAP_ID_VPD]: ["Vital Product Data", vitalProductData],
  [regs.PCI_CAP_ID_SLOTID]: ["Slot ID"],
  [regs.PCI_CAP_ID_MSI]: ["MSI", msi],
  [regs.PCI_CAP_ID_CHSWP]: ["CompactPCI hot-swap"],
  [regs.PCI_CAP_ID_PCIX]: ["PCI-X", pciX],
  [regs.PCI_CAP_ID_HT]: ["HyperTransport", hyperTransport],
  [regs.PCI_CAP_ID_VNDR]: ["Vendor Specific Information", vendorSpecific],
  [regs.PCI_CAP_ID_DBG]: ["Debug port"],
  [regs.PCI_CAP_ID_CCRC]: ["CompactPCI central resource control"],
  [regs.PCI_CAP_ID_SHPC]: ["Hot-plug capable"],
  [regs.PCI_CAP_ID_SSVID]: ["Subsystem", subsystem],
  [regs.PCI_CAP_ID_AGP3]: ["AGP3"],
  [regs.PCI_CAP_ID_SECDEV]: ["Secure device"],
  [regs.PCI_CAP_ID_EXP]: ["Express", decodeExpress],
  [regs.PCI_CAP_ID_MSIX]: ["MSI-X", msix],
  [regs.PCI_CAP_ID_SATA]: ["SATA HBA"],
  [regs.PCI_CAP_ID_AF]: ["PCI Advanced Features", advancedFeatures],
  [regs.PCI_CAP_ID_EA]: ["Enhanced Allocation", enhancedAllocation],
};

function powerManagement(words: Words): ConfigFields {
  const capabilities = words.u16(regs.PCI_PM_PMC);
  const control = words.u16(regs.PCI_PM_CTRL);
  const states = flags(capabilities, {
    D1: regs.PCI_PM_CAP_D1,
    D2: regs.PCI_PM_CAP_D2,
  });
  return {
    version: capabilities & regs.PCI_PM_CAP_VER_MASK,
    ...states,
    pmeFrom: named(capabilities, {
      D0: regs.PCI_PM_CAP_PME_D0,
      D1: regs.PCI_PM_CAP_PME_D1,
      D2: regs.PCI_PM_CAP_PME_D2,
      D3hot: regs.PCI_PM_CAP_PME_D3hot,
      D3cold: regs.PCI_PM_CAP_PME_D3cold,
    }),
    state: `D${control & regs.PCI_PM_CTRL_STATE_MASK}`,
    ...flags(control, {
      noSoftReset: regs.PCI_PM_CTRL_NO_SOFT_RESET,
      pmeEnabled: regs.PCI_PM_CTRL_PME_ENABLE,
      pmeStatus: regs.PCI_PM_CTRL_PME_STATUS,
    }),
  };
}

/** The names of the bits that are set. */
function named(
  word: number,
  masks: Readonly<Record<string, number>>,
): string[] {
  return Object.entries(masks).filter(([, mask]) => (word & mask) !== 0)
    .map(([name]) => name);
}

function vitalProductData(words: Words): ConfigFields {
  const address = words.u16(regs.PCI_VPD_ADDR);
  return {
    address: hex(address & regs.PCI_VPD_ADDR_MASK, 4),
    done: (address & regs.PCI_VPD_ADDR_F) !== 0,
  };
}

function msi(words: Words): ConfigFields {
  const control = words.u16(regs.PCI_MSI_FLAGS);
  const is64bit = (control & regs.PCI_MSI_FLAGS_64BIT) !== 0;
  const maskable = (control & regs.PCI_MSI_FLAGS_MASKBIT) !== 0;
  const high = is64bit ? words.u32(regs.PCI_MSI_ADDRESS_HI) : 0;
  const address = BigInt(high) << 32n |
    BigInt(words.u32(regs.PCI_MSI_ADDRESS_LO));
  return {
    enabled: (control & regs.PCI_MSI_FLAGS_ENABLE) !== 0,
    vectors: 2 ** bits(control, regs.PCI_MSI_FLAGS_QMASK),
    vectorsEnabled: 2 ** bits(control, regs.PCI_MSI_FLAGS_QSIZE),
    is64bit,
    maskable,
    address: hex(address, 8),
    data: hex(
      words.u16(is64bit ? regs.PCI_MSI_DATA_64 : regs.PCI_MSI_DATA_32),
      4,
    ),
    ...maskable && {
      masked: hex(
        words.u32(is64bit ? regs.PCI_MSI_MASK_64 : regs.PCI_MSI_MASK_32),
        8,
      ),
      pending: hex(
        words.u32(is64bit ? regs.PCI_MSI_PENDING_64 : regs.PCI_MSI_PENDING_32),
        8,
      ),
    },
  };
}

function msix(words: Words): ConfigFields {
  const control = words.u16(regs.PCI_MSIX_FLAGS);
  const table = words.u32(regs.PCI_MSIX_TABLE);
  const pending = words.u32(regs.PCI_MSIX_PBA);
  return {
    enabled: (control & regs.PCI_MSIX_FLAGS_ENABLE) !== 0,
    vectors: (control & regs.PCI_MSIX_FLAGS_QSIZE) + 1,
    masked: (control & regs.PCI_MSIX_FLAGS_MASKALL) !== 0,
    table: {
      bar: table & regs.PCI_MSIX_TABLE_BIR,
      offset: hex((table & regs.PCI_MSIX_TABLE_OFFSET) >>> 0, 8),
    },
    pendingBits: {
      bar: pending & regs.PCI_MSIX_PBA_BIR,
      offset: hex((pending & regs.PCI_MSIX_PBA_OFFSET) >>> 0, 8),
    },
  };
}

function vendorSpecific(words: Words): ConfigFields {
  const length = words.u8(regs.PCI_CAP_FLAGS);
  const first = regs.PCI_CAP_FLAGS + 1;
  const bytes: string[] = [];
  for (let offset = first; offset < length; offset++) {
    bytes.push(hexDigits(words.u8(offset), 2));
  }
  return { length, bytes: bytes.join(" ") };
}

function subsystem(words: Words): ConfigFields {
  return {
    vendor: hexDigits(words.u16(regs.PCI_SSVID_VENDOR_ID), 4),
    device: hexDigits(words.u16(regs.PCI_SSVID_DEVICE_ID), 4),
  };
}

function advancedFeatures(words: Words): ConfigFields {
  return {
    ...flags(words.u8(regs.PCI_AF_CAP), {
      transactionsPendingKnown: regs.PCI_AF_CAP_TP,
      functionLevelReset: regs.PCI_AF_CAP_FLR,
    }),
    ...flags(words.u8(regs.PCI_AF_STATUS), {
      transactionsPending: regs.PCI_AF_STATUS_TP,
    }),
  };
}
