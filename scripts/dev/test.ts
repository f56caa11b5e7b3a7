/**
 * `deno task test`: runs every test with the permissions of its part, and
 * prints the counts as the last line.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl, relative, resolve } from "@std/path";
import { setAccelerator } from "../../tests/vm/accelerator.ts";
import { ALL_MACHINES, machineNamed } from "../../tests/vm/machines.ts";
import { ROOT } from "./deno.ts";
import { type Choice, type Job, jobsOf } from "./jobs.ts";
import { FAILED, sum, summary } from "./outcome.ts";
import { isPart } from "./parts.ts";
import { type Run, timing } from "./timing.ts";

const USAGE = `deno task test [OPTION...] [FILE...]

Runs all tests, or those of the files given.

  --only PART      unit: no permissions and no system; host: this machine's
                   libc, sysfs and tools; docs: the documentation's examples,
                   in a virtual machine; vm: real kernels, in all of them
  --machine NAME   of the virtual machines only this one, repeatable:
                   ${ALL_MACHINES.map(({ name }) => name).join(", ")}
  --accel NAME     how the virtual machines are run: kvm, or tcg, which is
                   emulation; the faster one unless given
  --everything     run all tests on older kernels, also where these do the same
                   as the newest one
  --filter TEXT    only tests with TEXT, or /PATTERN/, in their name`;

function options(): Choice & { help: boolean } {
  const parsed = parseArgs(Deno.args, {
    boolean: ["help", "everything"],
    string: ["only", "machine", "accel", "filter", "_"],
    collect: ["machine"],
    unknown: (name, key) => {
      if (key !== undefined) throw new TypeError(`Unknown option ${name}`);
    },
  });
  const { only, machine, accel, filter, help, everything, _ } = parsed;
  if (only !== undefined && !isPart(only)) {
    throw new TypeError(`There is no part "${only}"`);
  }
  setAccelerator(accel);
  const root = fromFileUrl(ROOT);
  return {
    help,
    only,
    machines: machine.length > 0 ? machine.map(machineNamed) : ALL_MACHINES,
    everything,
    filter,
    paths: _.map((path) =>
      relative(root, Deno.realPathSync(resolve(String(path))))
    ),
  };
}

/** How much of this machine's memory a guest takes, in bytes. */
const GUEST_MEMORY = 2.5 * 2 ** 30;

/** How many guests run side by side. Each has one processor. */
function guestsAtOnce(): number {
  const { available } = Deno.systemMemoryInfo();
  const fitting = Math.floor(available / GUEST_MEMORY);
  return Math.max(1, Math.min(navigator.hardwareConcurrency, fitting));
}

/**
 * Prepares jobs one after the other. Ignores errors, which the jobs report when
 * they run.
 */
function preparationFor(jobs: readonly Job[]): Job {
  return {
    name: "preparation",
    run: async () => {
      for (const { prepare } of jobs) await prepare!().catch(() => {});
      return sum([]);
    },
  };
}

/** Runs a job, and measures how long it takes. */
async function run({ name, run }: Job): Promise<Run> {
  console.log(`── ${name}`);
  const start = performance.now();
  // A job that cannot run has failed. The others may still run.
  const outcome = await run().catch((error) => {
    console.error(error instanceof Error ? error.message : error);
    return FAILED;
  });
  return { name, seconds: (performance.now() - start) / 1000, outcome };
}

async function main(): Promise<number> {
  let chosen: Choice & { help: boolean };
  try {
    chosen = options();
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (chosen.help) {
    console.log(USAGE);
    return 0;
  }
  let interrupted = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => interrupted = true);
  }
  const start = performance.now();
  const jobs = await jobsOf(chosen);
  const runs: Run[] = [];
  const work = async (job: Job) => {
    if (!interrupted) runs.push(await run(job));
  };
  // Jobs without preparation use all processors, and report at once.
  for (const job of jobs) if (!job.prepare) await work(job);
  const others = jobs.filter(({ prepare }) => prepare);
  if (others.length > 0) await work(preparationFor(others));
  const queue = others.values();
  await Promise.all(
    Array.from({ length: guestsAtOnce() }, async () => {
      for (const job of queue) await work(job);
    }),
  );
  if (interrupted) {
    console.log("interrupted");
    return 130;
  }
  const total = sum(runs.map(({ outcome }) => outcome));
  console.log(timing(runs, (performance.now() - start) / 1000));
  const failed = runs.filter(({ outcome }) => outcome.failed > 0);
  if (failed.length > 0) {
    const names = new Set(failed.map(({ name }) => name));
    console.log(`failed: ${[...names].join(", ")}`);
  }
  if (total.passed + total.failed === 0) console.log("no test ran");
  console.log(summary(total));
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

// `deno test` takes a file of this name for a test module.
if (import.meta.main) Deno.exit(await main());
