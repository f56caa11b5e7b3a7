/**
 * `deno task test`: every test, each with the rights that its kind is to have,
 * and as the last line the count of what ran.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { basename, fromFileUrl, relative, resolve } from "@std/path";
import { setAccelerator } from "../../tests/vm/accelerator.ts";
import {
  ALL_MACHINES,
  machineNamed,
  MACHINES,
} from "../../tests/vm/machines.ts";
import { prepare } from "../../tests/vm/prepare.ts";
import { runTests } from "../../tests/vm/run_tests.ts";
import { type Counts, sum, summary } from "./counts.ts";
import { ROOT } from "./deno.ts";
import { typescriptFiles } from "./files.ts";
import { isPart, type Part, partsOf } from "./parts.ts";
import { denoTest } from "./test_run.ts";

const USAGE = `deno task test [OPTION...] [FILE...]

Runs all tests, or those of the files given.

  --only PART      unit: no permissions and no system; host: this machine's
                   libc, sysfs and tools; docs: the documentation's examples,
                   in a virtual machine; vm: real kernels, in all of them
  --machine NAME   of the virtual machines only this one, repeatable:
                   ${ALL_MACHINES.map(({ name }) => name).join(", ")}
  --accel NAME     how the virtual machines are run: kvm, or tcg, which is
                   emulation; found out unless given
  --filter TEXT    only tests with TEXT, or /PATTERN/, in their name`;

/** Tests that are run in one go. */
interface Job {
  readonly name: string;
  readonly run: () => Promise<Counts>;
}

function options() {
  const { only, machine, accel, filter, help, _ } = parseArgs(Deno.args, {
    boolean: ["help"],
    string: ["only", "machine", "accel", "filter", "_"],
    collect: ["machine"],
    unknown: (name, key) => {
      if (key !== undefined) throw new TypeError(`Unknown option ${name}`);
    },
  });
  if (only !== undefined && !isPart(only)) {
    throw new TypeError(`There is no part "${only}"`);
  }
  setAccelerator(accel);
  const root = fromFileUrl(ROOT);
  return {
    help,
    only,
    machines: machine.length > 0 ? machine.map(machineNamed) : ALL_MACHINES,
    filter,
    paths: _.map((path) =>
      relative(root, Deno.realPathSync(resolve(String(path))))
    ),
  };
}

/** The files among files and folders, "" being the checkout. */
async function filesOf(paths: readonly string[]): Promise<string[]> {
  const files = await Promise.all(
    paths.map((path) =>
      /\.(ts|md)$/.test(path) ? [path] : Array.fromAsync(
        typescriptFiles(ROOT, path.replace(/(?<=.)\/?$/, "/")),
      )
    ),
  );
  return files.flat();
}

/** Whether a file has an example to run. */
async function hasExample(file: string): Promise<boolean> {
  const text = await Deno.readTextFile(new URL(file, ROOT));
  return /^[ *]*```ts(?!.*\bignore\b)/m.test(text);
}

async function jobs(
  { only, machines, filter, paths }: ReturnType<typeof options>,
): Promise<Job[]> {
  const files = await filesOf(paths.length > 0 ? paths : ["", "README.md"]);
  const part = (name: Part) =>
    only === undefined || only === name
      ? files.filter((file) => partsOf(file).includes(name))
      : [];
  const [unit, host, guest] = [part("unit"), part("host"), part("vm")];
  const examples = await Promise.all(part("docs").map(hasExample));
  const docs = part("docs").filter((_, i) => examples[i]);
  const flags = filter === undefined ? [] : [`--filter=${filter}`];
  return [
    unit.length > 0 && {
      name: "unit",
      run: () => denoTest(["--parallel", ...flags, ...unit]),
    },
    host.length > 0 && {
      name: "host",
      run: async () => {
        // Some compile C, against the headers of the kernel that is built.
        await prepare([MACHINES[0]!]);
        return await denoTest(["-A", ...flags, ...host]);
      },
    },
    docs.length > 0 && {
      name: "docs",
      run: async () => {
        // On a real kernel, as most examples attach a device.
        await prepare([MACHINES[0]!]);
        return await runTests(MACHINES[0]!, docs, [
          "--doc",
          "--preload=tests/docs/stage.ts",
          ...flags,
        ]);
      },
    },
    ...machines.map((machine) => {
      const { name, tests } = machine;
      const its = guest.filter((file) =>
        tests?.includes(basename(file)) ?? true
      );
      return its.length > 0 && {
        name,
        run: async () => {
          await prepare([machine]);
          return await runTests(machine, its, flags);
        },
      };
    }),
  ].filter((job) => job !== false);
}

async function main(): Promise<number> {
  let chosen: ReturnType<typeof options>;
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
  const outcomes: Counts[] = [];
  const failed: string[] = [];
  let interrupted = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => interrupted = true);
  }
  for (const { name, run } of await jobs(chosen)) {
    console.log(`── ${name}`);
    let outcome: Counts;
    try {
      outcome = await run();
    } catch (error) {
      // What cannot run at all has failed, and the others may still run.
      console.error(error instanceof Error ? error.message : error);
      outcome = { passed: 0, failed: 1, ignored: 0 };
    }
    outcomes.push(outcome);
    if (outcome.failed > 0) failed.push(name);
    if (interrupted) {
      console.log("interrupted");
      return 130;
    }
  }
  const total = sum(outcomes);
  if (failed.length > 0) console.log(`failed: ${failed.join(", ")}`);
  if (total.passed + total.failed === 0) console.log("no test ran");
  console.log(summary(total));
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

// `deno test` takes a file of this name for a test.
if (import.meta.main) Deno.exit(await main());
