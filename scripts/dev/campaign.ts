/**
 * Runs a campaign with many more rounds than the tests:
 *
 *     deno task campaign                  # 100,000 rounds against the core
 *     deno task campaign 5000 17          # rounds, and the seed
 *     deno task campaign iommu 5000 17    # against translation
 *
 * @module
 */
import { assertForAll } from "../../tests/conformance/random/for_all.ts";
import { playRound, ROUNDS, scriptOf } from "../../tests/campaign/core.ts";
import {
  IOMMU_ROUNDS,
  iommuScriptOf,
  playIommuRound,
} from "../../tests/campaign/iommu.ts";

const isIommu = Deno.args[0] === "iommu";
const [rounds = 100_000, seed = Date.now() & 0xffff] = Deno.args
  .slice(isIommu ? 1 : 0).map(Number);
if (![rounds, seed].every(Number.isSafeInteger)) {
  console.error("Usage: deno task campaign [iommu] [ROUNDS [SEED]]");
  Deno.exit(2);
}
console.log(`${rounds} rounds with seed ${seed}`);
const backends = isIommu
  ? ["legacy", "iommufd"] as const
  : ["auto", "legacy", "iommufd"] as const;
const numRuns = Math.ceil(rounds / backends.length);
for (const backend of backends) {
  if (isIommu) {
    await assertForAll(
      IOMMU_ROUNDS,
      { numRuns, seed },
      (steps) => playIommuRound(steps, backend as "legacy" | "iommufd"),
      (steps) => iommuScriptOf(steps, backend as "legacy" | "iommufd"),
    );
    console.log(`${backend}: devices reach what is mapped, and logs tell it`);
  } else {
    await assertForAll(
      ROUNDS,
      { numRuns, seed },
      (events) => playRound(events, backend),
      (events) => scriptOf(events, backend),
    );
    console.log(`${backend}: nothing is left, and every error is documented`);
  }
}
