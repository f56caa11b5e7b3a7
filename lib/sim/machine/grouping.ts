import type { FunctionTopology } from "./topology.ts";

/** What decides which functions an IOMMU cannot tell apart. */
export interface Placed {
  /** Its address. */
  readonly address: string;
  /** What the topology says of it. */
  readonly topology: FunctionTopology;
  /** The bridges of its domain that it is behind, the nearest first. */
  readonly bridges: readonly Placed[];
  /** The function whose driver makes its domain, as Intel's VMD does. */
  readonly maker: Placed | undefined;
  /** Whether it is a bridge itself. */
  readonly isBridge: boolean;
  /** Whether it leads to conventional PCI. */
  readonly toConventional: boolean;
}

/**
 * What functions that share a group have in common, unless they were given a
 * group: functions behind a conventional bridge make requests as the bridge
 * does, and functions of one slot, or behind one bridge, without ACS reach each
 * other past the IOMMU. All that is in a domain that a driver makes does its DMA
 * as the driver's function does (`pci_real_dma_dev()` in
 * `arch/x86/pci/common.c`).
 * (`pci_device_group()` in `drivers/iommu/iommu.c`)
 */
export function groupKey(fn: Placed): string {
  if (fn.maker !== undefined) return groupKey(fn.maker);
  const shared = [fn, ...fn.bridges].findLast((
    { isBridge, toConventional, topology },
  ) => toConventional || isBridge && topology.acs === false);
  if (shared?.toConventional) return shared.address;
  const { address, isBridge, topology } = shared ?? fn;
  const { acs = isBridge, sriov } = topology;
  return acs || sriov !== undefined
    ? address
    : address.slice(0, address.indexOf("."));
}
