/**
 * Checks of the IOMMU.
 *
 * @module
 */

import { explainDirectMapping } from "../../host/iommu/direct_mapping.ts";
import {
  explainNoGroup,
  explainNoIommu,
  noIommuModeOn,
} from "../../host/iommu/no_iommu.ts";
import { type IommuMaker, iommuUnits } from "../../host/iommu/platform.ts";
import { isEndpoint } from "../../host/pci/function.ts";
import { counted } from "../../text.ts";
import { type Examined, UNEXAMINED } from "../examined.ts";
import type { Finding } from "../finding.ts";

const GROUPS = "/sys/kernel/iommu_groups";

/** The names of IOMMUs. */
const TITLES: Readonly<Record<IommuMaker, string>> = {
  intel: "Intel VT-d",
  amd: "AMD-Vi",
  arm: "an Arm SMMU",
  virtio: "a virtio IOMMU",
};

/** The groups that an IOMMU makes. Groups made by VFIO have names. */
export function iommuGroups(examined: Examined): string[] {
  return examined.names(GROUPS).filter((id) =>
    !examined.has(`${GROUPS}/${id}/name`)
  );
}

/** Whether an IOMMU translates, and how to switch one on. */
export function* iommu(examined: Examined): Generator<Finding> {
  const groups = iommuGroups(examined);
  if (groups.length === 0) {
    const { problem, hint } = explainNoIommu(examined.kernel);
    yield {
      check: "iommu",
      verdict: "fail",
      text: `no IOMMU translates: ${problem}`,
      remedy: hint,
    };
    return;
  }
  const units = iommuUnits(examined.kernel);
  const maker = units.find(({ maker }) => maker !== undefined)?.maker;
  const identity = groups.some((id) =>
    examined.read(`${GROUPS}/${id}/type`) === "identity"
  );
  yield {
    check: "iommu",
    verdict: "pass",
    text: `${maker === undefined ? "an IOMMU" : TITLES[maker]} translates` +
      (units.length > 0
        ? ` (${units.map(({ name }) => name).join(", ")})`
        : "") +
      (identity ? ", though not for the host's own drivers" : "") +
      `; ${counted(groups.length, "IOMMU group")}`,
  };
}

/** Whether VFIO accepts devices that no IOMMU isolates. */
export function* noIommuMode(examined: Examined): Generator<Finding> {
  if (!noIommuModeOn(examined.kernel)) return;
  yield {
    check: "no-iommu-mode",
    verdict: "warn",
    text: "VFIO accepts devices that no IOMMU isolates; they reach all " +
      "memory, the kernel's too",
    remedy: "echo 0 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
  };
}

/**
 * Whether the IOMMU covers the functions. A host without an IOMMU has a finding
 * of its own.
 */
export function* group(examined: Examined): Generator<Finding> {
  if (iommuGroups(examined).length === 0) return;
  yield* examined.checkEach(
    "group",
    "every function has its IOMMU group",
    (fn) => {
      const { iommuGroup } = fn;
      if (iommuGroup !== undefined && iommuGroup.name === undefined) return;
      const { problem, hint } = explainNoGroup(fn);
      return { text: problem, remedy: hint, stops: true };
    },
  );
  // Otherwise the checks "acs" and "group-viable" say it, with the reason.
  const unsaid = examined.unjudged.has("acs") &&
    examined.unjudged.has("group-viable");
  if (examined.asked && unsaid) yield* companions(examined);
}

/** The functions that share a group with those that are asked for. */
function* companions({ functions }: Examined): Generator<Finding> {
  const asked = new Set(functions.map(({ address }) => address));
  for (const { address, iommuGroup } of functions) {
    const others = (iommuGroup?.devices ?? []).filter(isEndpoint)
      .filter((other) => !asked.has(other.address));
    if (others.length === 0) continue;
    yield {
      check: "group",
      verdict: "warn",
      device: address,
      text: `its IOMMU group ${iommuGroup!.id} also holds ` +
        others.map(({ address }) => address).join(", "),
      remedy: "hand them out together, or leave the others without a driver",
    };
  }
}

/**
 * Whether the firmware requires memory to stay mapped for a function. Such a
 * function cannot be handed out (`__iommu_device_set_domain()` in
 * `drivers/iommu/iommu.c`; Intel's RMRR, AMD's IVMD). What is "relaxable" does
 * not matter.
 */
export function* directMapping(examined: Examined): Generator<Finding> {
  if (iommuGroups(examined).length === 0) return;
  yield* examined.checkEach(
    "direct-mapping",
    "the firmware keeps no memory mapped for a function",
    ({ iommuGroup }) => {
      if (iommuGroup === undefined) return UNEXAMINED;
      const direct = explainDirectMapping(iommuGroup);
      if (direct === undefined) return;
      return { text: direct.problem, remedy: direct.hint, stops: true };
    },
  );
}
