import { assertForAll } from "../conformance/random/for_all.ts";
import { playRound, ROUNDS, scriptOf } from "../campaign/core.ts";

for (
  const [seed, backend] of (["auto", "legacy", "iommufd"] as const).entries()
) {
  Deno.test(`${backend}: the core leaves nothing when calls fail, hang, and end in any order`, async () => {
    await assertForAll(
      ROUNDS,
      { numRuns: 100, seed },
      (events) => playRound(events, backend),
      (events) => scriptOf(events, backend),
    );
  });
}
