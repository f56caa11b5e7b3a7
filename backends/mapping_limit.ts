import { VfioError } from "../lib/errors.ts";

/** The error for a container that takes no more mappings. */
export function mappingLimit(range: string, cause?: unknown): VfioError {
  return new VfioError("MAPPING_LIMIT", {
    problem: `cannot map ${range}: the container's mappings are used up`,
    hint: "map fewer, larger ranges, or raise " +
      "vfio_iommu_type1.dma_entry_limit",
    cause,
  });
}
