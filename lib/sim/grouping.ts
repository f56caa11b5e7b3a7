import type { FunctionTopology } from "./topology.ts";

/** What decides which functions an IOMMU cannot tell apart. */
export interface Placed {
  /** Its address. */
  readonly address: string;
  /** What the topology says of it. */
  readonly topology: FunctionTopology;
  /** The bridges that it is behind, the nearest first. */
  readonly bridges: readonly Placed[];
  /** Whether it is a bridge itself. */
  readonly isBridge: boolean;
}

/**
 * What functions that share a group have in common, unless they were given a
 * group: functions behind a conventional bridge make requests as the bridge
 * does, and functions of one slot without ACS reach each other past the IOMMU.
 * (`pci_device_group()` in `drivers/iommu/iommu.c`)
 */
export function groupKey(fn: Placed): string {
  const conventional = [fn, ...fn.bridges]
    .findLast(({ isBridge, topology }) => isBridge && topology.conventional);
  if (conventional !== undefined) return conventional.address;
  const { acs = fn.isBridge, sriov } = fn.topology;
  return acs || sriov !== undefined
    ? fn.address
    : fn.address.slice(0, fn.address.indexOf("."));
}
