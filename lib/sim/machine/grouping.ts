import type { FunctionTopology } from "./topology.ts";

/** A function with what decides its IOMMU group. */
export interface Placed {
  /** Its address. */
  readonly address: string;
  /** Its entry in the topology. */
  readonly topology: FunctionTopology;
  /** The bridges above it in its domain, the nearest first. */
  readonly bridges: readonly Placed[];
  /** The function whose driver makes its domain, as Intel's VMD does. */
  readonly maker: Placed | undefined;
  /** Whether it is a bridge itself. */
  readonly isBridge: boolean;
  /** Whether it is a bridge to conventional PCI. */
  readonly toConventional: boolean;
}

/**
 * Returns a key that functions of the same default group share
 * (`pci_device_group()` in `drivers/iommu/iommu.c`). Requests of functions
 * behind a conventional bridge have the bridge's id. Without ACS, functions of
 * one slot or behind one bridge reach each other without the IOMMU. Functions
 * in a domain that a driver makes do DMA with the id of the driver's function
 * (`pci_real_dma_dev()` in `arch/x86/pci/common.c`).
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
