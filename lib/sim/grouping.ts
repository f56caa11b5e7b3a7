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
 * does, and functions of one slot, or behind one bridge, without ACS reach each
 * other past the IOMMU.
 * (`pci_device_group()` in `drivers/iommu/iommu.c`)
 */
export function groupKey(fn: Placed): string {
  const shared = [fn, ...fn.bridges].findLast(({ isBridge, topology }) =>
    isBridge && (topology.conventional || topology.acs === false)
  );
  if (shared?.topology.conventional) return shared.address;
  const { address, isBridge, topology } = shared ?? fn;
  const { acs = isBridge, sriov } = topology;
  return acs || sriov !== undefined
    ? address
    : address.slice(0, address.indexOf("."));
}
