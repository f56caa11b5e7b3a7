/**
 * What to type so that functions can be handed out.
 *
 * @module
 */

import type { HostDevice, IommuGroup, Obstacle } from "../device.ts";
import { explainDenied } from "../driver/denylist.ts";
import { isVfioDriver } from "../driver/vfio_driver.ts";
import { HostUse } from "../guards/uses.ts";
import type { Use } from "../guards/use.ts";
import { isEndpoint, PciFunction } from "./function.ts";
import { insteadOfMade, isMadeBy, makerOf } from "./topology/made_domain.ts";

/** The commands that take functions, and what the host loses by them. */
export interface Taking {
  /** The commands, in order. None where nothing can take the functions. */
  readonly commands: readonly string[];
  /** What the host uses of what they take, on which they insist. */
  readonly uses: readonly Use[];
  /** Why some cannot be taken, as clauses. */
  readonly refusals: readonly string[];
}

/**
 * The commands that take functions with all that has to go with them: one for
 * each group, after those for what has to be out of the way.
 *
 * @param functions The functions.
 */
export function takingOf(functions: readonly PciFunction[]): Taking {
  const [any] = functions;
  if (any === undefined) return { commands: [], uses: [], refusals: [] };
  const now = new HostUse(any.host);
  const groups = Map.groupBy(functions, (fn) => fn.iommuGroup?.id);
  const parts = [...groups].map(([id, wanted]) =>
    id === undefined
      ? { commands: [], uses: [], refusals: ["it has no IOMMU group"] }
      : takingOfGroup(wanted[0]!.iommuGroup!, wanted, now)
  );
  return {
    commands: [...new Set(parts.flatMap(({ commands }) => commands))],
    uses: parts.flatMap(({ uses }) => uses),
    refusals: parts.flatMap(({ refusals }) => refusals),
  };
}

function takingOfGroup(
  group: IommuGroup,
  wanted: readonly PciFunction[],
  now: HostUse,
): Taking {
  const maker = wanted.flatMap((fn) =>
    makerOf<HostDevice | undefined>(fn) ?? []
  )
    .find((device) => device instanceof PciFunction);
  if (maker !== undefined) return takingOfGroup(group, [maker], now);
  // What a member's driver makes vanishes with that.
  const members = group.devices.filter((device) =>
    !wanted.some((fn) => isMadeBy(device, fn))
  );
  const endpoints = members.filter(isEndpoint);
  const accepted = endpoints.filter((fn) => deniedBy(fn) === undefined);
  const paths = new Set(wanted.map(({ path }) => path));
  const first = accepted.find(({ path }) => paths.has(path)) ??
    (wanted.some(isEndpoint) ? undefined : accepted[0]);
  if (first === undefined) {
    const refusals = wanted.flatMap((fn) => deniedBy(fn) ?? []);
    return {
      commands: [],
      uses: [],
      refusals: refusals.length > 0
        ? refusals
        : ["the group holds nothing that can be handed out"],
    };
  }
  const others = members.flatMap((device) =>
    device.driver === undefined || isEndpoint(device) || !isInTheWay(device)
      ? []
      : unbinding(device, device.driver)
  );
  const leaving = endpoints.filter(({ driver = "" }) => !isVfioDriver(driver));
  const uses = leaving.flatMap((fn) => now.of(fn));
  const insist = [...new Set(uses.map(({ device }) => device))]
    .map((address) => ` --insist ${address}`).join("");
  const whole = endpoints.length > 1 ? " --whole-group" : "";
  const taken = wanted.every(({ driver = "" }) => isVfioDriver(driver));
  if (taken && leaving.length + others.length === 0) {
    return { commands: [], uses: [], refusals: [] };
  }
  return {
    commands: [
      ...leaving.filter((fn) => fn.virtualFunctions.length > 0)
        .map((fn) => `passthru vfs ${fn.address} 0`),
      ...others,
      `passthru bind ${first.address}${whole}${insist}`,
    ],
    uses,
    refusals: [],
  };
}

/**
 * What to type so that a group can be handed out, in words.
 *
 * @param group The group.
 * @param obstacles What keeps it from being viable.
 * @param asked A member that is wanted. Default: the first endpoint.
 * @returns The remedy in words and commands, which works as it is typed.
 */
export function groupRemedy(
  group: IommuGroup,
  obstacles: readonly Obstacle[],
  asked?: PciFunction,
): string {
  const functions = group.devices.filter((device) =>
    device instanceof PciFunction
  );
  const [first] = functions;
  if (first === undefined) {
    return obstacles.map(({ device, driver }) => unbinding(device, driver))
      .join("; ");
  }
  const wanted = asked ?? functions.find(isEndpoint) ?? first;
  const maker = makerOf<HostDevice | undefined>(wanted);
  if (maker !== undefined) return insteadOfMade(maker);
  const { commands, uses, refusals } = takingOf([wanted]);
  if (commands.length === 0) return `nothing: ${refusals.join("; ")}`;
  const last = commands.at(-1)!;
  const before = commands.slice(0, -1);
  const what = last.includes("--whole-group")
    ? "take all of the group"
    : "take it";
  return (before.length === 0 ? "" : `first: ${before.join("; ")}; then `) +
    `${what}: ${last}${doWithout(uses)}`;
}

/** The clause that says what the host loses. */
export function doWithout(uses: readonly Use[]): string {
  return uses.length === 0
    ? ""
    : `, once the host can do without ${
      uses.map(({ device, problem }) => `${device}: ${problem}`).join("; ")
    }`;
}

function isInTheWay(device: HostDevice): boolean {
  const viability = device.iommuGroup?.viability();
  return viability?.viable === false &&
    viability.obstacles.some((each) => each.device.path === device.path);
}

/** Why vfio-pci refuses a function by its identity. */
function deniedBy(fn: PciFunction): string | undefined {
  const { host: { kernel }, vendor, device } = fn;
  if (fn.driver !== undefined && isVfioDriver(fn.driver)) return undefined;
  return explainDenied(kernel, "vfio-pci", vendor, device)?.problem;
}

/** What takes a device that is no endpoint out of the way. */
function unbinding(device: HostDevice, driver: string): string {
  const { name, bus } = device;
  return device instanceof PciFunction
    ? `passthru bind ${name} none`
    : `echo ${name} > /sys/bus/${bus}/drivers/${driver}/unbind`;
}
