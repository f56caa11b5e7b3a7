/**
 * Runs the campaign against the core with many more rounds than the tests:
 *
 *     deno task campaign            # 100,000 rounds
 *     deno task campaign 5000 17    # rounds, and the seed
 *
 * @module
 */
import { assertForAll } from "../../tests/conformance/random/for_all.ts";
import { playRound, ROUNDS, scriptOf } from "../../tests/campaign/core.ts";

const [rounds = 100_000, seed = Date.now() & 0xffff] = Deno.args.map(Number);
console.log(`${rounds} rounds with seed ${seed}`);
for (const backend of ["auto", "legacy", "iommufd"] as const) {
  await assertForAll(
    ROUNDS,
    { numRuns: Math.ceil(rounds / 3), seed },
    (events) => playRound(events, backend),
    (events) => scriptOf(events, backend),
  );
  console.log(`${backend}: nothing is left, and every error is documented`);
}
