/**
 * Checks of the IOMMU.
 *
 * @module
 */

import { explainDirectMapping } from "../host/iommu/direct_mapping.ts";
import {
  explainNoGroup,
  explainNoIommu,
  noIommuModeOn,
} from "../host/iommu/no_iommu.ts";
import type { Examined } from "./examined.ts";
import type { Finding } from "./finding.ts";

const GROUPS = "/sys/kernel/iommu_groups";

/** Names in `/sys/class/iommu`, by maker. */
const MAKERS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^dmar/, "Intel VT-d"],
  [/^ivhd/, "AMD-Vi"],
  [/^smmu|^arm-smmu/, "an Arm SMMU"],
  [/^virtio/, "a virtio IOMMU"],
];

/** The groups that an IOMMU makes. Groups made by VFIO have names. */
export function iommuGroups(on: Examined): string[] {
  return on.names(GROUPS).filter((id) => !on.has(`${GROUPS}/${id}/name`));
}

/** Whether an IOMMU translates, and how to switch one on. */
export function* iommu(on: Examined): Generator<Finding> {
  const groups = iommuGroups(on);
  if (groups.length === 0) {
    const { problem, hint } = explainNoIommu(on.kernel);
    yield {
      check: "iommu",
      verdict: "fail",
      text: `no IOMMU translates: ${problem}`,
      remedy: hint,
    };
    return;
  }
  const units = on.names("/sys/class/iommu")
    .filter((unit) => on.names(`/sys/class/iommu/${unit}/devices`).length > 0);
  const maker = MAKERS.find(([name]) => units.some((unit) => name.test(unit)));
  const identity = groups.some((id) =>
    on.read(`${GROUPS}/${id}/type`) === "identity"
  );
  yield {
    check: "iommu",
    verdict: "pass",
    text: `${maker?.[1] ?? "an IOMMU"} translates` +
      (units.length > 0 ? ` (${units.join(", ")})` : "") +
      (identity ? ", though not for the host's own drivers" : "") +
      `; ${groups.length} IOMMU ${groups.length === 1 ? "group" : "groups"}`,
  };
}

/** Whether VFIO was told to take devices that no IOMMU isolates. */
export function* noIommuMode(on: Examined): Generator<Finding> {
  if (!noIommuModeOn(on.kernel)) return;
  yield {
    check: "no-iommu-mode",
    verdict: "warn",
    text: "VFIO takes devices that no IOMMU isolates, which then reach all " +
      "memory, the kernel's too",
    remedy: "echo 0 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
  };
}

/**
 * Whether the IOMMU covers the functions. A host without an IOMMU has a finding
 * of its own.
 */
export function* group(on: Examined): Generator<Finding> {
  if (iommuGroups(on).length === 0) return;
  yield* on.checkEach("group", "every function has its IOMMU group", (fn) => {
    const { iommuGroup } = fn;
    if (iommuGroup !== undefined && iommuGroup.name === undefined) return;
    const { problem, hint } = explainNoGroup(fn);
    return { text: problem, remedy: hint, stops: true };
  });
}

/**
 * Whether the firmware demands memory of its own to stay mapped for a function,
 * which then cannot be handed out (`__iommu_device_set_domain()` in
 * `drivers/iommu/iommu.c`; Intel's RMRR, AMD's IVMD). What is "relaxable" does
 * not matter.
 */
export function* directMapping(on: Examined): Generator<Finding> {
  if (iommuGroups(on).length === 0) return;
  yield* on.checkEach(
    "direct-mapping",
    "the firmware keeps no memory mapped for a function",
    ({ iommuGroup }) => {
      if (iommuGroup === undefined) return;
      const direct = explainDirectMapping(iommuGroup);
      if (direct === undefined) return;
      return { text: direct.problem, remedy: direct.hint, stops: true };
    },
  );
}
