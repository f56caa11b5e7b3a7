/**
 * Plans the MAC addresses and VLANs of virtual functions.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import {
  networkInterfaces,
  NO_MAC,
  readVirtualNetwork,
} from "../../host/driver/vf_network.ts";
import type { VirtualNetworkStep } from "../steps/step.ts";
import { reasonFor, type Target } from "./target.ts";

/**
 * Plans the changes of virtual functions' MAC addresses and VLANs. The steps
 * come after the virtual functions are made, and before they get their drivers.
 *
 * @param targets The functions.
 * @throws {VfioError} `NOT_SUPPORTED` when their physical function has no
 * network interface: it is no network card, or is not on a driver of the
 * host's.
 */
export function networkSteps(
  targets: readonly Target[],
): VirtualNetworkStep[] {
  return targets.flatMap((target) => {
    const { at, address, fn, part, state } = target;
    if (part === undefined || !isOnNetwork(state)) return [];
    const { physical, driver, index } = part;
    assertNetworkCard(physical, driver, at);
    const now = fn && readVirtualNetwork(physical, index);
    const mac = state.mac?.toLowerCase();
    const { vlan } = state;
    const step = {
      ...mac !== undefined && mac !== now?.mac && { mac },
      ...vlan !== undefined && vlan !== now?.vlan.id && { vlan },
    };
    if (Object.keys(step).length === 0) return [];
    return [{
      kind: "vf network",
      device: address,
      physical: physical.address,
      index,
      ...step,
      why: reasonFor(target, whyOf(now)),
    }];
  });
}

/** Whether a state gives a virtual function a MAC address or a VLAN. */
export function isOnNetwork(
  state: Target["state"],
): state is { readonly mac?: string; readonly vlan?: number } {
  return "mac" in state && state.mac !== undefined ||
    "vlan" in state && state.vlan !== undefined;
}

function whyOf(now: ReturnType<typeof readVirtualNetwork>): string {
  if (now === undefined) return "its driver should find it set";
  const { mac, vlan } = now;
  const address = mac === NO_MAC ? "no MAC address" : mac;
  return `now it has ${address}, ${
    vlan.id === 0 ? "no VLAN" : `VLAN ${vlan.id}`
  }`;
}

function assertNetworkCard(
  physical: PciFunction,
  driver: string | null | undefined,
  at: string,
): void {
  const vfio = typeof driver === "string" && isVfioDriver(driver);
  // Whether a driver that is not bound yet makes a network interface cannot be
  // known.
  const moves = driver !== undefined && driver !== (physical.driver ?? null);
  const hasInterface = moves
    ? driver !== null && !vfio
    : networkInterfaces(physical).length > 0;
  if (hasInterface) return;
  throw new VfioError("NOT_SUPPORTED", {
    device: physical.address,
    problem: `it has no network interface, which sets the MAC addresses and ` +
      `VLANs of its virtual functions (${at})`,
    hint: moves || physical.driver === undefined
      ? "give it the host's driver"
      : `${physical.driver} makes none, or one in another network namespace`,
  });
}
