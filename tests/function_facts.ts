import type { PciFunction } from "../lib/host/pci/function.ts";

/**
 * Reads the attributes of a function that any user may read, for comparison.
 */
export function factsOf(fn: PciFunction): Record<string, unknown> {
  return {
    path: fn.path,
    modalias: fn.modalias,
    revision: fn.revision,
    numaNode: fn.numaNode,
    driver: fn.driver,
    override: fn.driverOverride,
    group: fn.iommuGroup?.id,
    type: fn.iommuGroup?.type,
    bars: fn.bars,
    resets: fn.resetMethods,
    virtual: fn.virtualFunctions.map(({ address }) => address),
  };
}
