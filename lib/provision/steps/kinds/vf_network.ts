/**
 * Steps that set the MAC address and VLAN of virtual functions.
 *
 * @module
 */

import { VfioError } from "../../../errors.ts";
import { hasErrno } from "../../../kernel/errno.ts";
import {
  NO_MAC,
  readVirtualNetwork,
  setVirtualNetwork,
  unknownToNetwork,
  type VirtualNetwork,
  type VirtualVlan,
} from "../../../host/driver/vf_network.ts";
import { ETH_P_8021Q } from "../../../uapi/linux/rtnetlink.ts";
import { functionIfThere } from "../functions.ts";
import type { VirtualNetworkStep } from "../step.ts";
import { changed, type StepKind, type Work } from "../kind.ts";

/** Steps that set the MAC address and VLAN of a virtual function. */
export const virtualNetworkKind: StepKind<
  VirtualNetworkStep,
  Partial<VirtualNetwork>
> = {
  holds(work, step) {
    const now = read(work, step);
    return Promise.resolve(
      now !== undefined && matches(now, wantedNetwork(step)),
    );
  },

  async capture(work, step) {
    const { mac, vlan } = await work.deadline.until(
      () => read(work, step),
      () => unknownToNetwork(step.physical, step.index),
    );
    // What the step does not change is not restored either.
    return {
      ...step.mac !== undefined && { mac },
      ...step.vlan !== undefined && { vlan },
    };
  },

  async make(work, step) {
    await write(work, step, wantedNetwork(step));
  },

  async undo(work, step, before, made) {
    const now = read(work, step);
    // The virtual function is gone, and its settings with it.
    if (now === undefined || matches(now, before)) return;
    if (made && !isBetween(now, before, wantedNetwork(step))) {
      throw changed(
        step.device,
        `its MAC address or VLAN was changed to ${now.mac}, ${now.vlan.id}`,
      );
    }
    const { mac, vlan } = before;
    if (vlan !== undefined) await write(work, step, { vlan });
    if (mac !== undefined) await bringBack(work, step, mac);
  },
};

async function bringBack(
  work: Work,
  step: VirtualNetworkStep,
  mac: string,
): Promise<void> {
  try {
    await write(work, step, { mac });
  } catch (error) {
    // Some drivers cannot clear an address: bnx2x and qede refuse one that is
    // not valid.
    const refused = error instanceof VfioError &&
      hasErrno(error.cause, "EINVAL");
    if (!refused || mac !== NO_MAC) throw error;
  }
}

function wantedNetwork(
  { mac, vlan }: VirtualNetworkStep,
): Partial<VirtualNetwork> {
  return {
    ...mac !== undefined && { mac },
    ...vlan !== undefined &&
      { vlan: { id: vlan, qos: 0, protocol: ETH_P_8021Q } },
  };
}

function read(
  { host }: Work,
  { device, physical, index }: VirtualNetworkStep,
): VirtualNetwork | undefined {
  const fn = functionIfThere(host, physical);
  if (fn === undefined || functionIfThere(host, device) === undefined) {
    return undefined;
  }
  return readVirtualNetwork(fn, index);
}

async function write(
  { host, deadline }: Work,
  { physical, index }: VirtualNetworkStep,
  settings: Partial<VirtualNetwork>,
): Promise<void> {
  const fn = host.function(physical);
  let busy: unknown;
  await deadline.until(() => {
    try {
      setVirtualNetwork(fn, index, settings);
      return true;
    } catch (error) {
      if (!(error instanceof VfioError && error.code === "DEVICE_BUSY")) {
        throw error;
      }
      busy = error;
      return undefined;
    }
  }, () => busy);
}

function matches(
  now: VirtualNetwork,
  { mac = now.mac, vlan = now.vlan }: Partial<VirtualNetwork>,
): boolean {
  return now.mac === mac && isSame(now.vlan, vlan);
}

/**
 * Whether each setting is either the old or the new one, as an interrupted undo
 * leaves them.
 */
function isBetween(
  now: VirtualNetwork,
  { mac, vlan }: Partial<VirtualNetwork>,
  to: Partial<VirtualNetwork>,
): boolean {
  return (mac === undefined || [mac, to.mac].includes(now.mac)) &&
    (vlan === undefined || isSame(now.vlan, vlan) ||
      isSame(now.vlan, to.vlan!));
}

function isSame(a: VirtualVlan, b: VirtualVlan): boolean {
  // Without a VLAN, priority and protocol do not matter.
  return a.id === b.id &&
    (a.id === 0 || a.qos === b.qos && a.protocol === b.protocol);
}
