/**
 * What is known of virtual functions before they are made
 * (`drivers/pci/iov.c`).
 *
 * @module
 */

import type { IommuGroup } from "../../device.ts";
import { dirname } from "../../path.ts";
import { ifPresent } from "../../sysfs.ts";
import { acsOf } from "../topology/acs.ts";
import { type Bar, barsIn, PciFunction } from "../function.ts";

/** The lines of `resource` that describe BARs of virtual functions. */
const FIRST_VF_BAR = 7;
const VF_BARS = 6;

/**
 * The BARs of a function's virtual functions that found no room, so that the
 * kernel makes none: `sriov_enable()`.
 *
 * @param fn The physical function.
 */
export function virtualBarsWithoutRoom({ host, path }: PciFunction): Bar[] {
  const text = ifPresent(() => host.kernel.readFile(`${path}/resource`)) ?? "";
  const lines = text.split("\n").slice(FIRST_VF_BAR, FIRST_VF_BAR + VF_BARS);
  return barsIn(lines).filter(({ start }) => start === 0n);
}

/** What to do about virtual functions without room, and why. */
export const NO_ROOM_FOR_VIRTUAL = {
  problem: "the BARs of its virtual functions found no room, and none can be " +
    "made",
  hint: 'switch SR-IOV and "Above 4G decoding" on in the firmware\'s set-up, ' +
    "or boot with pci=realloc",
};

/** The group that virtual functions will be in. */
export interface VirtualGroup {
  /** The group of the bridge that does not isolate them. */
  readonly group: IommuGroup;
  /** That bridge. */
  readonly bridge: PciFunction;
  /** Why: a clause that its address goes before. */
  readonly reason: string;
}

/**
 * The group that the virtual functions of a function will be in, if it is not
 * one of their own each. The kernel walks up from their bus until every bridge
 * isolates what is behind it, and else joins the group of the nearest
 * (`pci_device_group()` in `drivers/iommu/iommu.c`): as it did for the function
 * itself.
 *
 * @param fn The physical function.
 */
export function groupOfVirtual(fn: PciFunction): VirtualGroup | undefined {
  const group = fn.iommuGroup;
  const bridges = bridgesAbove(fn);
  const [nearest] = bridges;
  if (group === undefined || nearest?.iommuGroup?.id !== group.id) {
    return undefined;
  }
  for (const bridge of bridges) {
    const { isolates, reason } = acsOf(bridge);
    if (isolates === false) return { group, bridge, reason };
  }
  const reason = "does not isolate what is behind it";
  return { group, bridge: nearest, reason };
}

/** The bridges above a function, the nearest first. */
function bridgesAbove({ host, path }: PciFunction): PciFunction[] {
  const bridge = host.deviceAt(dirname(path));
  return bridge instanceof PciFunction ? [bridge, ...bridgesAbove(bridge)] : [];
}
