/**
 * Which devices share a group, why, and what would part them.
 *
 * @module
 */

import {
  bridgeOf,
  hasIsolatingPort,
} from "../../host/pci/topology/isolating.ts";
import { isEndpointClass } from "../../host/pci/endpoint.ts";
import { groupOfVirtual } from "../../host/pci/virtual/functions.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { insteadOfMade, makerOf } from "../../host/pci/topology/made_domain.ts";
import { causeText, type SharedGroup } from "../../host/pci/topology/tree.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

/** Writes why a group is shared. */
export function causesText({ causes }: SharedGroup): string {
  return causes.length === 0
    ? "the platform says that the IOMMU cannot tell them apart"
    : causes.map(causeText).join("; ");
}

/**
 * Whether a group holds several endpoints, and which bridges and slots are the
 * reason.
 */
export function* acs(examined: Examined): Generator<Finding> {
  const byAddress = new Map(
    examined.functions.map((fn) => [fn.address, fn]),
  );
  const grouped = examined.functions.some(({ iommuGroup }) =>
    iommuGroup !== undefined && iommuGroup.name === undefined
  );
  if (!grouped) return;
  const sharedGroups = examined.tree.sharedGroups.flatMap((shared) => {
    const endpoints = endpointsOf(shared, examined);
    return endpoints.length > 1 &&
        shared.functions.some((address) => byAddress.has(address))
      ? [{ shared, endpoints }]
      : [];
  });
  for (const { shared, endpoints } of sharedGroups) {
    const [first] = shared.causes;
    const maker = endpoints.flatMap((fn) => makerOf(fn) ?? [])[0];
    const names = list(endpoints.map(({ address }) => address));
    yield {
      check: "acs",
      verdict: "warn",
      ...(first?.device.includes(".") && { device: first.device }),
      text: `IOMMU group ${shared.group} holds ${names}, which ` +
        (maker === undefined
          ? "are handed out together or not at all: "
          : "cannot be handed out one by one: ") +
        causesText(shared),
      remedy: maker === undefined
        ? remedyFor(shared, endpoints, examined)
        : insteadOfMade(maker),
    };
  }
  if (sharedGroups.length === 0) {
    const text = "each function is alone in its IOMMU group";
    yield { check: "acs", verdict: "pass", text };
  }
}

function endpointsOf(
  { functions }: SharedGroup,
  { kernelHost }: Examined,
): PciFunction[] {
  return functions.flatMap((address) => {
    const device = kernelHost.functions().find((fn) => fn.address === address);
    return device !== undefined && isEndpointClass(device.class)
      ? [device]
      : [];
  });
}

/** What would part the endpoints of a group, where something would. */
function remedyFor(
  { causes }: SharedGroup,
  endpoints: readonly PciFunction[],
  examined: Examined,
): string {
  const together = "hand them out together";
  if (causes.length === 0) return `${together}: nothing else helps`;
  const slots = causes.filter(({ device }) => !device.includes("."));
  const bridges = causes.filter(({ device }) => device.includes("."));
  if (bridges.length === 0) {
    const onRoot = endpoints.every((fn) => bridgeOf(fn) === undefined);
    const [slot] = slots;
    if (onRoot) {
      return `${together}: ${slot!.device} is a part of the chipset or the ` +
        "processor, which no slot changes";
    }
    const capable = endpoints.find(({ path }) =>
      Number(examined.read(`${path}/sriov_totalvfs`)) > 0
    );
    const own = capable !== undefined && groupOfVirtual(capable) === undefined;
    return `${together}: the card itself lacks it, which no other slot ` +
      "changes" + (own ? "; or hand out virtual functions of it" : "");
  }
  if (bridges.every(({ reason }) => reason.includes("conventional PCI"))) {
    return `${together}: a bridge to conventional PCI tells no devices apart`;
  }
  return hasIsolatingPort(examined.kernelHost, endpoints)
    ? `${together}, or put a card into a slot behind another bridge that ` +
      "isolates"
    : `${together}: no bridge of this host isolates what is behind it`;
}

function list(addresses: readonly string[]): string {
  const most = 8;
  return addresses.length <= most
    ? addresses.join(", ")
    : `${addresses.slice(0, most - 1).join(", ")} and ` +
      `${addresses.length - most + 1} more`;
}
