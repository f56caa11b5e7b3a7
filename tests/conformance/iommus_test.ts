/**
 * In what IOMMUs differ, on the machines with other IOMMUs than those that run
 * the whole suite.
 */
import { currentMachine } from "../vm/machine_env.ts";

const { iommu } = currentMachine() ?? { iommu: "none" };

// Elsewhere `conformance_test.ts` has these tests.
if (!["intel", "none"].includes(iommu)) {
  await import("./cases/iommu.ts");
  await import("./cases/hwpt.ts");
}
