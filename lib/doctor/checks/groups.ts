/**
 * Checks of IOMMU groups.
 *
 * @module
 */

import type { IommuGroup, Obstacle } from "../../host/device.ts";
import { pciValue } from "../../host/pci/command_line.ts";
import { isEndpointClass } from "../../host/pci/endpoint.ts";
import { groupRemedy } from "../../host/pci/group_remedy.ts";
import { isMadeBy } from "../../host/pci/topology/made_domain.ts";
import { causesText } from "./acs.ts";
import { type Examined, UNEXAMINED } from "../examined.ts";
import type { Finding } from "../finding.ts";
import { iommuGroups } from "./iommu.ts";

/**
 * Whether the groups are viable once all the functions are taken. The functions
 * themselves are therefore no obstacles.
 */
export function* groupViable(examined: Examined): Generator<Finding> {
  if (iommuGroups(examined).length === 0) return;
  const takenPaths = new Set(examined.functions.map(({ path }) => path));
  const passText =
    "once the functions are taken, their IOMMU groups are viable";
  yield* examined.checkEach("group-viable", passText, (fn) => {
    const { iommuGroup } = fn;
    if (iommuGroup === undefined || !isEndpointClass(fn.class)) {
      return UNEXAMINED;
    }
    // Taking a function that makes a domain removes every function in the
    // domain.
    const obstacles = obstaclesOf(iommuGroup).filter(({ device }) =>
      isMadeBy(fn, device) ||
      !takenPaths.has(device.path) && !isMadeBy(device, fn)
    );
    if (obstacles.length === 0) return;
    const shared = examined.tree.sharedGroups
      .find(({ group }) => group === iommuGroup?.id);
    const names = obstacles.map(({ device, driver }) =>
      `${device.name} (${driver})`
    );
    return {
      text: `its IOMMU group ${iommuGroup.id} also holds ${names.join(", ")}` +
        (shared === undefined || examined.unjudged.has("acs")
          ? ""
          : `, as ${causesText(shared)}`),
      remedy: groupRemedy(iommuGroup, obstacles, fn),
      stops: true,
    };
  });
}

function obstaclesOf(group: IommuGroup | undefined): readonly Obstacle[] {
  const viability = group?.viability();
  return viability === undefined || viability.viable ? [] : viability.obstacles;
}

/**
 * Whether the kernel was told to treat hardware as isolated that does not claim
 * to be.
 */
export function* acsOverride(examined: Examined): Generator<Finding> {
  yield* acsSwitchedOff(examined);
  const override = examined.parameter("pcie_acs_override");
  if (override === undefined) return;
  const without = withoutOverride(examined, override);
  if (without !== undefined) {
    yield {
      check: "acs-override",
      verdict: "warn",
      text: `pcie_acs_override=${override} has no effect: IOMMU group ` +
        `${without} is shared all the same, as this kernel lacks the patch ` +
        "for it, which is in no kernel of kernel.org",
      remedy:
        "remove pcie_acs_override from the kernel's command line, or boot " +
        "a kernel with the patch, if every guest is trusted",
    };
    return;
  }
  yield {
    check: "acs-override",
    verdict: "warn",
    text: `pcie_acs_override=${override} makes the kernel treat functions as ` +
      "isolated that are not: in different IOMMU groups they may reach each " +
      "other, and memory of the host through each other",
    remedy: "remove pcie_acs_override from the kernel's command line, unless " +
      "every guest is trusted; a kernel without the patch ignores it",
  };
}

/** A group that is shared for what an override would overrule. */
function withoutOverride(
  { tree }: Examined,
  override: string,
): string | undefined {
  const kinds = override.split(",");
  return tree.sharedGroups.find(({ causes }) =>
    causes.some(({ device, reason }) =>
      reason.startsWith("has no ACS") &&
      kinds.includes(device.includes(".") ? "downstream" : "multifunction")
    )
  )?.group;
}

/** Options of `pci=` by which somebody has switched ACS off for some devices. */
function* acsSwitchedOff({ kernel }: Examined): Generator<Finding> {
  for (const name of ["disable_acs_redir", "config_acs"]) {
    const value = pciValue(kernel, name);
    if (value === undefined) continue;
    yield {
      check: "acs-override",
      verdict: "warn",
      text: `pci=${name}=${value} changes the ACS of devices: what it does ` +
        "not isolate shares a group",
      remedy: `remove ${name} from the kernel's command line, unless devices ` +
        "are to reach each other",
    };
  }
}
