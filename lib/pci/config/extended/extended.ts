/**
 * Decodes the extended capabilities, from byte 256 of config space on.
 *
 * @module
 */

import { hex, hexDigits } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/express_regs.ts";
import * as more from "../../../uapi/pci/extended_regs.ts";
import * as unnamed from "../../../uapi/pci/unnamed_regs.ts";
import { virtualChannels } from "./channels.ts";
import { designatedVendor } from "./cxl.ts";
import { dataEncryption } from "./encryption.ts";
import { decodeErrors } from "./errors.ts";
import { decodeSriov } from "./sriov.ts";
import {
  dataObjects,
  multicast,
  processingHints,
  secondaryExpress,
} from "./transactions.ts";
import {
  bits,
  type ConfigFields,
  type ConfigValue,
  flags,
  type Known,
  type Words,
} from "../words.ts";

/** The known capabilities, by id. */
export const EXTENDED: Readonly<Record<number, Known>> = {
  // A placeholder that only links to the next.
  0: ["Null"],
  [regs.PCI_EXT_CAP_ID_ERR]: ["Advanced Error Reporting", decodeErrors],
  [regs.PCI_EXT_CAP_ID_VC]: ["Virtual Channel", virtualChannels],
  [regs.PCI_EXT_CAP_ID_DSN]: ["Device Serial Number", serialNumber],
  [regs.PCI_EXT_CAP_ID_PWR]: ["Power Budgeting"],
  [regs.PCI_EXT_CAP_ID_RCLD]: ["Root Complex Link"],
  [regs.PCI_EXT_CAP_ID_RCILC]: ["Root Complex Internal Link"],
  [regs.PCI_EXT_CAP_ID_RCEC]: ["Root Complex Event Collector"],
  [regs.PCI_EXT_CAP_ID_MFVC]: [
    "Multi-Function Virtual Channel",
    virtualChannels,
  ],
  [regs.PCI_EXT_CAP_ID_VC9]: ["Virtual Channel", virtualChannels],
  [regs.PCI_EXT_CAP_ID_RCRB]: ["Root Complex Register Block"],
  [regs.PCI_EXT_CAP_ID_VNDR]: ["Vendor Specific Information", vendor],
  [regs.PCI_EXT_CAP_ID_CAC]: ["Configuration Access Correlation"],
  [regs.PCI_EXT_CAP_ID_ACS]: ["Access Control Services", accessControl],
  [regs.PCI_EXT_CAP_ID_ARI]: ["Alternative Routing-ID", alternativeRouting],
  [regs.PCI_EXT_CAP_ID_ATS]: ["Address Translation Service", translation],
  [regs.PCI_EXT_CAP_ID_SRIOV]: ["SR-IOV", decodeSriov],
  [regs.PCI_EXT_CAP_ID_MRIOV]: ["MR-IOV"],
  [regs.PCI_EXT_CAP_ID_MCAST]: ["Multicast", multicast],
  [regs.PCI_EXT_CAP_ID_PRI]: ["Page Request Interface", pageRequests],
  [regs.PCI_EXT_CAP_ID_REBAR]: ["Resizable BAR", resizableBars],
  [regs.PCI_EXT_CAP_ID_DPA]: ["Dynamic Power Allocation"],
  [regs.PCI_EXT_CAP_ID_TPH]: [
    "Transaction Processing Hints",
    processingHints,
  ],
  [regs.PCI_EXT_CAP_ID_LTR]: ["Latency Tolerance Reporting", latency],
  [regs.PCI_EXT_CAP_ID_SECPCI]: ["Secondary PCI Express", secondaryExpress],
  [regs.PCI_EXT_CAP_ID_PMUX]: ["Protocol Multiplexing"],
  [regs.PCI_EXT_CAP_ID_PASID]: ["Process Address Space ID", processSpaces],
  [regs.PCI_EXT_CAP_ID_DPC]: ["Downstream Port Containment", containment],
  [regs.PCI_EXT_CAP_ID_L1SS]: ["L1 PM Substates", substates],
  [regs.PCI_EXT_CAP_ID_PTM]: ["Precision Time Measurement", timeMeasurement],
  [regs.PCI_EXT_CAP_ID_DVSEC]: [
    "Designated Vendor-Specific",
    designatedVendor,
  ],
  [regs.PCI_EXT_CAP_ID_VF_REBAR]: ["Resizable BAR of VFs", resizableBars],
  [regs.PCI_EXT_CAP_ID_DLF]: ["Data Link Feature"],
  [regs.PCI_EXT_CAP_ID_PL_16GT]: ["Physical Layer 16.0 GT/s"],
  [regs.PCI_EXT_CAP_ID_NPEM]: ["Native PCIe Enclosure Management"],
  [regs.PCI_EXT_CAP_ID_PL_32GT]: ["Physical Layer 32.0 GT/s"],
  [regs.PCI_EXT_CAP_ID_DOE]: ["Data Object Exchange", dataObjects],
  [regs.PCI_EXT_CAP_ID_DEV3]: ["Device 3"],
  [regs.PCI_EXT_CAP_ID_IDE]: [
    "Integrity and Data Encryption",
    dataEncryption,
  ],
  [regs.PCI_EXT_CAP_ID_PL_64GT]: ["Physical Layer 64.0 GT/s"],
  [unnamed.EXT_CAP_LN_REQUESTER]: ["LN Requester"],
  [unnamed.EXT_CAP_M_PHY]: ["PCI Express over M-PHY"],
  [unnamed.EXT_CAP_FRS_QUEUEING]: ["FRS Queueing"],
  [unnamed.EXT_CAP_READINESS_TIME]: ["Readiness Time Reporting"],
  [unnamed.EXT_CAP_LANE_MARGINING]: ["Lane Margining at the Receiver"],
  [unnamed.EXT_CAP_HIERARCHY_ID]: ["Hierarchy ID"],
  [unnamed.EXT_CAP_ALTERNATE_PROTOCOL]: ["Alternate Protocol"],
  [unnamed.EXT_CAP_SYSTEM_FIRMWARE]: ["System Firmware Intermediary"],
  [unnamed.EXT_CAP_SHADOW_FUNCTIONS]: ["Shadow Functions"],
};

function serialNumber(words: Words): ConfigFields {
  const digits = hexDigits(words.u64(4), 16);
  return { serial: digits.match(/../g)!.join("-") };
}

function vendor(words: Words): ConfigFields {
  const head = words.u32(more.PCI_VNDR_HEADER);
  return {
    id: hexDigits(head & 0xffff, 4),
    revision: head >>> 16 & 0xf,
    length: head >>> 20,
  };
}

const ACS = {
  sourceValidation: regs.PCI_ACS_SV,
  translationBlocking: regs.PCI_ACS_TB,
  requestRedirect: regs.PCI_ACS_RR,
  completionRedirect: regs.PCI_ACS_CR,
  upstreamForwarding: regs.PCI_ACS_UF,
  egressControl: regs.PCI_ACS_EC,
  directTranslated: regs.PCI_ACS_DT,
};

function accessControl(words: Words): ConfigFields {
  return {
    capabilities: flags(words.u16(regs.PCI_ACS_CAP), ACS),
    control: flags(words.u16(regs.PCI_ACS_CTRL), ACS),
  };
}

function alternativeRouting(words: Words): ConfigFields {
  const capabilities = words.u16(regs.PCI_ARI_CAP);
  const control = words.u16(regs.PCI_ARI_CTRL);
  return {
    capabilities: flags(capabilities, {
      functionGroups: regs.PCI_ARI_CAP_MFVC,
      acsFunctionGroups: regs.PCI_ARI_CAP_ACS,
    }),
    nextFunction: capabilities >>> 8,
    control: flags(control, {
      functionGroups: regs.PCI_ARI_CTRL_MFVC,
      acsFunctionGroups: regs.PCI_ARI_CTRL_ACS,
    }),
  };
}

function translation(words: Words): ConfigFields {
  const capabilities = words.u16(regs.PCI_ATS_CAP);
  const control = words.u16(regs.PCI_ATS_CTRL);
  return {
    // 0 stands for 32.
    invalidateQueueDepth: (capabilities & 0x1f) || 32,
    pageAligned: (capabilities & regs.PCI_ATS_CAP_PAGE_ALIGNED) !== 0,
    enabled: (control & regs.PCI_ATS_CTRL_ENABLE) !== 0,
    smallestUnit: control & 0x1f,
  };
}

function pageRequests(words: Words): ConfigFields {
  return {
    ...flags(words.u16(regs.PCI_PRI_CTRL), {
      enabled: regs.PCI_PRI_CTRL_ENABLE,
      reset: regs.PCI_PRI_CTRL_RESET,
    }),
    ...flags(words.u16(regs.PCI_PRI_STATUS), {
      responseFailure: regs.PCI_PRI_STATUS_RF,
      unexpectedIndex: regs.PCI_PRI_STATUS_UPRGI,
      stopped: regs.PCI_PRI_STATUS_STOPPED,
      pasidRequired: regs.PCI_PRI_STATUS_PASID,
    }),
    capacity: words.u32(regs.PCI_PRI_MAX_REQ),
    allocated: words.u32(regs.PCI_PRI_ALLOC_REQ),
  };
}

function processSpaces(words: Words): ConfigFields {
  const capabilities = words.u16(regs.PCI_PASID_CAP);
  return {
    capabilities: flags(capabilities, {
      execute: regs.PCI_PASID_CAP_EXEC,
      privileged: regs.PCI_PASID_CAP_PRIV,
    }),
    width: bits(capabilities, regs.PCI_PASID_CAP_WIDTH),
    control: flags(words.u16(regs.PCI_PASID_CTRL), {
      enabled: regs.PCI_PASID_CTRL_ENABLE,
      execute: regs.PCI_PASID_CTRL_EXEC,
      privileged: regs.PCI_PASID_CTRL_PRIV,
    }),
  };
}

/**
 * The size of a BAR's two registers, in bytes: possible sizes and present size.
 */
const REBAR_STRIDE = 8;

function resizableBars(words: Words): ConfigFields {
  const first = words.u32(regs.PCI_REBAR_CTRL);
  const count = bits(first, regs.PCI_REBAR_CTRL_NBAR_MASK);
  const bars: ConfigValue[] = Array.from({ length: count }, (_, i) => {
    const capabilities = words.u32(regs.PCI_REBAR_CAP + i * REBAR_STRIDE);
    const control = words.u32(regs.PCI_REBAR_CTRL + i * REBAR_STRIDE);
    const sizes = bits(capabilities, regs.PCI_REBAR_CAP_SIZES);
    return {
      bar: control & regs.PCI_REBAR_CTRL_BAR_IDX,
      size: megabytes(bits(control, regs.PCI_REBAR_CTRL_BAR_SIZE)),
      possible: Array.from({ length: 28 }, (_, exponent) => exponent)
        .filter((exponent) => (sizes >>> exponent & 1) !== 0)
        .map(megabytes),
    };
  });
  return { bars };
}

/** Writes a size: exponent 8 is `"256M"`. */
function megabytes(exponent: number): string {
  if (exponent >= 20) return `${2 ** (exponent - 20)}T`;
  if (exponent >= 10) return `${2 ** (exponent - 10)}G`;
  return `${2 ** exponent}M`;
}

function latency(words: Words): ConfigFields {
  const nanoseconds = (register: number) =>
    bits(register, more.PCI_LTR_VALUE_MASK) *
    2 ** (5 * bits(register, more.PCI_LTR_SCALE_MASK));
  return {
    maxSnoopNs: nanoseconds(words.u16(more.PCI_LTR_MAX_SNOOP_LAT)),
    maxNoSnoopNs: nanoseconds(words.u16(more.PCI_LTR_MAX_NOSNOOP_LAT)),
  };
}

function containment(words: Words): ConfigFields {
  const capabilities = words.u16(more.PCI_EXP_DPC_CAP);
  const status = words.u16(more.PCI_EXP_DPC_STATUS);
  return {
    interruptMessage: bits(capabilities, more.PCI_EXP_DPC_IRQ),
    capabilities: flags(capabilities, {
      rootPortExtensions: more.PCI_EXP_DPC_CAP_RP_EXT,
      poisonedBlocking: more.PCI_EXP_DPC_CAP_POISONED_TLP,
      softwareTrigger: more.PCI_EXP_DPC_CAP_SW_TRIGGER,
      linkActive: more.PCI_EXP_DPC_CAP_DL_ACTIVE,
    }),
    control: flags(words.u16(more.PCI_EXP_DPC_CTL), {
      fatal: more.PCI_EXP_DPC_CTL_EN_FATAL,
      nonFatal: more.PCI_EXP_DPC_CTL_EN_NONFATAL,
      interrupt: more.PCI_EXP_DPC_CTL_INT_EN,
    }),
    status: {
      ...flags(status, {
        triggered: more.PCI_EXP_DPC_STATUS_TRIGGER,
        interrupt: more.PCI_EXP_DPC_STATUS_INTERRUPT,
        busy: more.PCI_EXP_DPC_RP_BUSY,
      }),
      reason: bits(status, more.PCI_EXP_DPC_STATUS_TRIGGER_RSN),
    },
    source: hex(words.u16(more.PCI_EXP_DPC_SOURCE_ID), 4),
  };
}

function substates(words: Words): ConfigFields {
  const capabilities = words.u32(more.PCI_L1SS_CAP);
  return {
    capabilities: flags(capabilities, {
      pciPmL12: more.PCI_L1SS_CAP_PCIPM_L1_2,
      pciPmL11: more.PCI_L1SS_CAP_PCIPM_L1_1,
      aspmL12: more.PCI_L1SS_CAP_ASPM_L1_2,
      aspmL11: more.PCI_L1SS_CAP_ASPM_L1_1,
      substates: more.PCI_L1SS_CAP_L1_PM_SS,
    }),
    restoreTimeUs: bits(capabilities, more.PCI_L1SS_CAP_CM_RESTORE_TIME),
    control: flags(words.u32(more.PCI_L1SS_CTL1), {
      pciPmL12: more.PCI_L1SS_CTL1_PCIPM_L1_2,
      pciPmL11: more.PCI_L1SS_CTL1_PCIPM_L1_1,
      aspmL12: more.PCI_L1SS_CTL1_ASPM_L1_2,
      aspmL11: more.PCI_L1SS_CTL1_ASPM_L1_1,
    }),
  };
}

function timeMeasurement(words: Words): ConfigFields {
  const capabilities = words.u32(more.PCI_PTM_CAP);
  return {
    capabilities: flags(capabilities, {
      requester: more.PCI_PTM_CAP_REQ,
      root: more.PCI_PTM_CAP_ROOT,
    }),
    granularityNs: bits(capabilities, more.PCI_PTM_GRANULARITY_MASK),
    control: flags(words.u32(more.PCI_PTM_CTRL), {
      enabled: more.PCI_PTM_CTRL_ENABLE,
      root: more.PCI_PTM_CTRL_ROOT,
    }),
  };
}
