/**
 * Random sequences of calls. A simulation gives only answers that a kernel can
 * give, and nothing is left when everything is closed. A real kernel answers
 * the same as its simulation.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import type { Bench } from "../bench.ts";
import { EDU_ID } from "../../vm/guest/edu.ts";
import { assertForAll } from "../random/for_all.ts";
import { type Operation, perform } from "../random/operations.ts";
import { scriptOf } from "../random/script.ts";
import { sequences } from "../random/sequences.ts";
import { FUNCTIONS, World } from "../random/world.ts";
import { triesAll } from "../../vm/machine_env.ts";
import { SYSTEMS } from "../setup.ts";
import { simulationOf } from "../simulated.ts";

/** How many sequences are run on each simulated kernel. */
const SIMULATED_RUNS = 170;

/**
 * How many sequences are run on a real kernel, and on one whose code is mostly
 * that of another.
 */
const REAL_RUNS = { all: 60, sample: 20 };

/** A constant seed, so that a failure can be repeated. */
const SEED = 20_261_122;

/** The errnos with which the kernel can refuse these calls. */
const PLAUSIBLE =
  /^(EADDRINUSE|EBADFD?|EBUSY|EEXIST|EFAULT|EINVAL|EIO|EMSGSIZE|ENODEV|ENOENT|ENOSPC|ENOTTY|EOPNOTSUPP|EOVERFLOW|EPERM|ERANGE)$/;

/** Carries out operations, and returns the answer of each. */
async function answersOf(
  bench: Bench,
  operations: readonly Operation[],
): Promise<unknown[]> {
  const world = new World(bench);
  try {
    await world.begin(bench.isNew);
    const answers: unknown[] = [];
    for (const operation of operations) {
      answers.push(await perform(world, operation));
    }
    return answers;
  } finally {
    await world.end();
  }
}

/** Asserts that a function can be attached and used. */
async function assertUsable(bench: Bench): Promise<void> {
  const { host, machine } = bench;
  await using taken = await host.take(machine.devices["pair0"]!);
  await using space = new AddressSpace({ host });
  const device = await VfioDevice.attach(taken.device, space);
  assertEquals(device.region(0).read32(0), EDU_ID);
  space.allocate(4096);
}

/** Asserts that a refusal has an errno of the kernel's. */
function assertPlausible(answer: unknown): void {
  if (typeof answer === "string" && answer.startsWith("E")) {
    assertMatch(answer, PLAUSIBLE);
  }
}

for (const [i, { name, machine, bench, isReal }] of SYSTEMS.entries()) {
  if (machine.backends.length === 0) continue;
  const operations = sequences(machine.backends.includes("iommufd"));
  const simulation = simulationOf(machine, FUNCTIONS);

  if (!isReal) {
    Deno.test(`${name}: random sequences leave nothing behind`, async () => {
      // Different sequences, as the kernels are similar.
      const parameters = { numRuns: SIMULATED_RUNS, seed: SEED + i };
      await assertForAll(operations, parameters, async (operations) => {
        await using system = simulation.bench();
        const before = system.holdings();
        const answers = await answersOf(system, operations);
        answers.forEach(assertPlausible);
        assertEquals(system.holdings(), before);
        await assertUsable(system);
      }, scriptOf);
    });
    continue;
  }

  Deno.test(`${name}: random sequences have the same answers as in the simulation`, async () => {
    const numRuns = triesAll(machine) ? REAL_RUNS.all : REAL_RUNS.sample;
    const parameters = { numRuns, seed: SEED };
    await assertForAll(operations, parameters, async (operations) => {
      await using system = bench();
      const real = await answersOf(system, operations);
      await using simulated = simulation.bench();
      const answers = await answersOf(simulated, operations);
      assertEquals(answers, real);
    }, scriptOf);
  });
}
