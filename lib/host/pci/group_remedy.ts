/**
 * What to type so that an IOMMU group can be handed out.
 *
 * @module
 */

import type { HostDevice, IommuGroup, Obstacle } from "../device.ts";
import { HostUse } from "../guards/uses.ts";
import type { Use } from "../guards/use.ts";
import { isVfioDriver } from "../driver/vfio_driver.ts";
import { isEndpointClass } from "./endpoint.ts";
import { PciFunction } from "./function.ts";
import { insteadOfMade, makerOf } from "./made_domain.ts";

/**
 * What to type so that a group can be handed out: one command for all its
 * endpoints, after what has to be out of the way first. The functions that the
 * host uses are named, with their uses, and insisted on.
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
  const members = group.devices;
  const [maker] = members.flatMap((device) => makerOf(device) ?? []);
  if (maker !== undefined) return insteadOfMade(maker);
  const endpoints = members.filter(isEndpoint);
  const wanted = asked !== undefined && isEndpoint(asked)
    ? asked
    : endpoints[0];
  const others = obstacles.filter(({ device }) => !isEndpoint(device));
  const first = others.map(({ device, driver }) => unbind(device, driver));
  if (wanted === undefined) {
    return "it holds nothing that can be handed out";
  }
  const leaving = endpoints.filter(({ driver = "" }) => !isVfioDriver(driver));
  const virtual = leaving.filter((fn) => fn.virtualFunctions.length > 0)
    .map((fn) => `passthru vfs ${fn.address} 0`);
  const { words, uses } = insistOn(leaving);
  const command = endpoints.length === 1
    ? `passthru bind ${wanted.address}${words}`
    : `passthru bind ${wanted.address} --whole-group${words}`;
  const before = [...virtual, ...first];
  return (before.length === 0 ? "" : `first: ${before.join("; ")}; then `) +
    `${endpoints.length === 1 ? "take it" : "take all of the group"}: ` +
    command +
    (uses.length === 0
      ? ""
      : `, once the host can do without ${
        uses.map(({ device, problem }) => `${device}: ${problem}`).join("; ")
      }`);
}

function isEndpoint(device: HostDevice): device is PciFunction {
  return device instanceof PciFunction && isEndpointClass(device.class);
}

/**
 * The options that insist on the functions that the host uses.
 *
 * @param functions The functions that would be taken.
 */
export function insistOn(
  functions: readonly HostDevice[],
): { readonly words: string; readonly uses: readonly Use[] } {
  const [first] = functions;
  if (first === undefined) return { words: "", uses: [] };
  const now = new HostUse(first.host);
  const uses = functions.flatMap((fn) => now.of(fn));
  const used = new Set(uses.map(({ device }) => device));
  return {
    words: [...used].map((address) => ` --insist ${address}`).join(""),
    uses,
  };
}

/** What takes a device that is no endpoint out of the way. */
function unbind(device: HostDevice, driver: string): string {
  const { name, bus } = device;
  return device instanceof PciFunction
    ? `passthru bind ${name} none`
    : `echo ${name} > /sys/bus/${bus}/drivers/${driver}/unbind`;
}
