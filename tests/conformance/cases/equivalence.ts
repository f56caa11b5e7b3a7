/**
 * Both backends answer the same to random sequences of operations on address
 * spaces and devices.
 */
import { assertEquals } from "@std/assert";
import type { BackendName } from "../../../mod.ts";
import { assertForAll } from "../random/for_all.ts";
import {
  type LibraryOperation,
  librarySequences,
  performInLibrary,
} from "../random/library.ts";
import { LibraryWorld } from "../random/library_world.ts";
import type { System } from "../bench.ts";
import { SYSTEMS } from "../setup.ts";

/** How many sequences are run. */
const RUNS = { simulated: 60, real: 20 };

/** A constant seed, so that a failure can be repeated. */
const SEED = 11_222_026;

async function answersOf(
  system: System,
  backend: BackendName,
  operations: readonly LibraryOperation[],
): Promise<unknown[]> {
  await using bench = system.bench();
  const before = bench.holdings();
  const answers: unknown[] = [];
  {
    await using world = new LibraryWorld(bench, backend);
    await world.begin();
    for (const operation of operations) {
      answers.push(await performInLibrary(world, operation));
    }
  }
  assertEquals(bench.holdings(), before);
  return answers;
}

for (const system of SYSTEMS) {
  if (system.machine.backends.length < 2) continue;
  Deno.test(`${system.name}: both backends answer random sequences alike`, async () => {
    const numRuns = system.isReal ? RUNS.real : RUNS.simulated;
    const parameters = { numRuns, seed: SEED };
    await assertForAll(librarySequences, parameters, async (operations) => {
      const legacy = await answersOf(system, "legacy", operations);
      const iommufd = await answersOf(system, "iommufd", operations);
      assertEquals(legacy, iommufd);
    });
  });
}
