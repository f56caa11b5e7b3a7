/**
 * Checks of IOMMU groups.
 *
 * @module
 */

import type { IommuGroup, Obstacle } from "../host/device.ts";
import {
  insteadOfMade,
  isMadeBy,
  madeBy,
  makerOf,
} from "../host/pci/made_domain.ts";
import { PciFunction } from "../host/pci/function.ts";
import { causeText, type SharedGroup } from "../host/pci/tree.ts";
import { isBridgeClass, vfioDriverOf } from "../host/driver/vfio_driver.ts";
import type { Examined } from "./examined.ts";
import type { Finding } from "./finding.ts";
import { iommuGroups } from "./iommu.ts";

/** Writes why a group is shared. */
function causesText({ causes }: SharedGroup): string {
  return causes.length === 0
    ? "the platform says that the IOMMU cannot tell them apart"
    : causes.map(causeText).join("; ");
}

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
      text: `its IOMMU group ${iommuGroup?.id} also holds ${names.join(", ")}` +
        (shared === undefined ? "" : `, as ${causesText(shared)}`),
      remedy: obstacles.map(remedyFor).join("; "),
      stops: true,
    };
  });
}

/**
 * The remedy for an obstacle, as a shell command: the reader may not be writing
 * a script.
 */
function remedyFor({ device, driver, remedy }: Obstacle): string {
  const canBeTaken = device instanceof PciFunction
    ? !isBridgeClass(device.class) && madeBy(device).length === 0
    : vfioDriverOf(device.bus) !== undefined;
  return canBeTaken
    ? `take ${device.name} from ${driver} as well, or leave it without a driver`
    : remedy;
}

function obstaclesOf(group: IommuGroup | undefined): readonly Obstacle[] {
  const viability = group?.viability();
  return viability === undefined || viability.viable ? [] : viability.obstacles;
}

/**
 * Whether a group holds functions of several devices, and which bridges and
 * slots are the reason.
 */
export function* acs(examined: Examined): Generator<Finding> {
  if (iommuGroups(examined).length === 0) return;
  const functionsByAddress = new Map(
    examined.functions.map((fn) => [fn.address, fn]),
  );
  const sharedGroups = examined.tree.sharedGroups.filter(({ functions }) =>
    functions.some((address) => functionsByAddress.has(address)) &&
    functions.filter((address) =>
        isEndpoint(address, examined, functionsByAddress)
      ).length > 1
  );
  for (const shared of sharedGroups) {
    const { group, functions, causes } = shared;
    const [first] = causes;
    const [maker] = functions.flatMap((address) => {
      const fn = functionsByAddress.get(address);
      return fn === undefined ? [] : makerOf(fn) ?? [];
    });
    yield {
      check: "acs",
      verdict: "warn",
      ...(first?.device.includes(".") && { device: first.device }),
      text: `IOMMU group ${group} holds ${list(functions)}, which ` +
        (maker === undefined
          ? "are handed out together or not at all: "
          : "cannot be handed out one by one: ") +
        causesText(shared),
      remedy: maker === undefined
        ? "hand them out together, or put a card into a slot behind another " +
          "bridge"
        : insteadOfMade(maker),
    };
  }
  if (sharedGroups.length === 0 && functionsByAddress.size > 0) {
    const text = "each function is alone in its IOMMU group";
    yield { check: "acs", verdict: "pass", text };
  }
}

/** Bridges share groups with what is behind them, which is harmless. */
function isEndpoint(
  address: string,
  examined: Examined,
  functionsByAddress: ReadonlyMap<string, PciFunction>,
): boolean {
  if (functionsByAddress.has(address)) return true;
  const code = examined.read(`/sys/bus/pci/devices/${address}/class`);
  return Number(code) >> 16 !== 0x06;
}

function list(addresses: readonly string[]): string {
  const most = 8;
  return addresses.length <= most
    ? addresses.join(", ")
    : `${addresses.slice(0, most - 1).join(", ")} and ` +
      `${addresses.length - most + 1} more`;
}

/**
 * Whether the kernel was told to treat hardware as isolated that does not claim
 * to be.
 */
export function* acsOverride(examined: Examined): Generator<Finding> {
  const override = examined.parameter("pcie_acs_override");
  if (override === undefined) return;
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
