/**
 * Access control services: what keeps functions from reaching each other past
 * the IOMMU.
 *
 * @module
 */

import {
  PCI_ACS_CAP,
  PCI_ACS_CR,
  PCI_ACS_CTRL,
  PCI_ACS_RR,
  PCI_ACS_SV,
  PCI_ACS_UF,
  PCI_EXP_FLAGS,
  PCI_EXP_FLAGS_TYPE,
  PCI_EXP_TYPE_DOWNSTREAM,
  PCI_EXP_TYPE_PCI_BRIDGE,
  PCI_EXP_TYPE_PCIE_BRIDGE,
  PCI_EXP_TYPE_RC_EC,
  PCI_EXP_TYPE_ROOT_PORT,
  PCI_EXT_CAP_ID_ACS,
} from "../../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MFD,
} from "../../../uapi/pci/regs.ts";
import { ConfigSpace } from "../config_space.ts";
import type { PciFunction } from "../function.ts";
import { exists, ifPresent } from "../../sysfs.ts";

/** Whether a function isolates what is behind it, or beside it. */
export interface Acs {
  /** Whether it does; `undefined` where only root can read that. */
  readonly isolates: boolean | undefined;
  /** Why, as a clause that its address goes before: `"has no ACS"`. */
  readonly reason: string;
}

/**
 * What the kernel requires (`REQ_ACS_FLAGS` in `drivers/iommu/iommu.c`): source
 * validation, and that requests, completions and upstream traffic are not
 * redirected below the IOMMU.
 */
const REQUIRED: ReadonlyArray<readonly [bit: number, name: string]> = [
  [PCI_ACS_SV, "source validation"],
  [PCI_ACS_RR, "request redirect"],
  [PCI_ACS_CR, "completion redirect"],
  [PCI_ACS_UF, "upstream forwarding"],
];

const SHARED_BUS: Acs = {
  isolates: false,
  reason: "is conventional PCI, where devices share a bus and their names",
};
const HAS_NONE: Acs = { isolates: false, reason: "has no ACS" };
const ALONE: Acs = {
  isolates: true,
  reason: "is alone in its slot and needs no ACS",
};
const UNKNOWN: Acs = {
  isolates: undefined,
  reason: "may have no ACS, which only root can read",
};

/**
 * Whether a function isolates what is behind it, for a bridge, or the functions
 * of its slot, for others: `pci_acs_enabled()` in `drivers/pci/pci.c`. Some
 * hardware isolates without ACS, and the kernel knows it
 * (`pci_dev_specific_acs_enabled()` in `drivers/pci/quirks.c`); such functions
 * are in groups of their own.
 *
 * @param fn The function.
 */
export function acsOf(fn: PciFunction): Acs {
  const { host: { kernel }, path } = fn;
  if (!exists(kernel, `${path}/max_link_speed`)) return SHARED_BUS;
  using config = ifPresent(() => new ConfigSpace(kernel, path));
  if (config === undefined) return UNKNOWN;
  const express = config.capability(PCI_CAP_ID_EXP);
  if (typeof express === "string") return UNKNOWN;
  const flags = config.read16(express + PCI_EXP_FLAGS) ?? 0;
  switch ((flags & PCI_EXP_FLAGS_TYPE) >> 4) {
    case PCI_EXP_TYPE_PCI_BRIDGE:
    case PCI_EXP_TYPE_PCIE_BRIDGE:
      return {
        isolates: false,
        reason: "is a bridge to conventional PCI, whose devices it names " +
          "as one",
      };
    case PCI_EXP_TYPE_RC_EC:
      return HAS_NONE;
    case PCI_EXP_TYPE_ROOT_PORT:
    case PCI_EXP_TYPE_DOWNSTREAM:
      return controlOf(config);
    default:
      return isOneOfSeveral(fn, config) ? controlOf(config) : ALONE;
  }
}

/**
 * Whether a function has ACS and all of it is on, needed or not.
 *
 * @param fn The function.
 * @returns `undefined` where only root can tell.
 */
export function hasAcs({ host: { kernel }, path }: PciFunction):
  | boolean
  | undefined {
  using config = ifPresent(() => new ConfigSpace(kernel, path));
  return config === undefined ? undefined : controlOf(config).isolates;
}

/** What its capability says: `pci_acs_flags_enabled()`. */
function controlOf(config: ConfigSpace): Acs {
  const acs = config.extended(PCI_EXT_CAP_ID_ACS);
  if (acs === "unreadable") return UNKNOWN;
  if (acs === "none") return HAS_NONE;
  // A control that the function lacks counts as on.
  const able = config.read16(acs + PCI_ACS_CAP) ?? 0;
  const on = config.read16(acs + PCI_ACS_CTRL) ?? 0;
  const off = REQUIRED.filter(([bit]) => (able & ~on & bit) !== 0);
  if (off.length === 0) return { isolates: true, reason: "has ACS" };
  const names = off.map(([, name]) => name).join(", ");
  return { isolates: false, reason: `has ACS switched off: ${names}` };
}

/**
 * `pdev->multifunction`: `pci_scan_slot()` in `drivers/pci/probe.c` sets it for
 * every function but the first, and `drivers/pci/iov.c` for no virtual one.
 */
function isOneOfSeveral(fn: PciFunction, config: ConfigSpace): boolean {
  if (exists(fn.host.kernel, `${fn.path}/physfn`)) return false;
  const header = config.read8(PCI_HEADER_TYPE) ?? 0;
  return !fn.address.endsWith(".0") || (header & PCI_HEADER_TYPE_MFD) !== 0;
}
