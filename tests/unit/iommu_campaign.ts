import { assertForAll } from "../conformance/random/for_all.ts";
import {
  IOMMU_ROUNDS,
  iommuScriptOf,
  playIommuRound,
} from "../campaign/iommu.ts";

for (const [seed, backend] of (["legacy", "iommufd"] as const).entries()) {
  Deno.test(`${backend}: devices reach what is mapped where they look, in any order of steps`, async () => {
    await assertForAll(
      IOMMU_ROUNDS,
      { numRuns: 100, seed },
      (steps) => playIommuRound(steps, backend),
      (steps) => iommuScriptOf(steps, backend),
    );
  });
}
