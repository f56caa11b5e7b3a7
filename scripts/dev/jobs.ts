/**
 * Divides the tests into jobs: one for each part, and one or several for each
 * virtual machine.
 *
 * @module
 */
import { basename } from "@std/path";
import { exampleTests } from "../../tests/docs/examples.ts";
import {
  ALL_MACHINES,
  type Machine,
  MACHINES,
} from "../../tests/vm/machines.ts";
import { runsOn } from "../../tests/vm/older_kernels.ts";
import { prepare } from "../../tests/vm/prepare.ts";
import { runTests } from "../../tests/vm/run_tests.ts";
import { ROOT } from "./deno.ts";
import { typescriptFiles } from "./files.ts";
import type { Outcome } from "./outcome.ts";
import { type Part, partsOf } from "./parts.ts";
import { denoTest } from "./test_run.ts";

/** Which tests to run. */
export interface Choice {
  /** The only part to run. */
  readonly only: Part | undefined;
  /** The virtual machines. */
  readonly machines: readonly Machine[];
  /**
   * Whether older kernels also run the tests that only a newer one runs
   * otherwise.
   */
  readonly everything: boolean;
  /** The text that a test's name must contain. */
  readonly filter: string | undefined;
  /** The only files and folders, as paths in the checkout. */
  readonly paths: readonly string[];
}

/** Tests that are run in one go. */
export interface Job {
  /** The part or the machine. */
  readonly name: string;
  /** Prepares what the tests need, where they need anything. */
  readonly prepare?: () => Promise<void>;
  readonly run: () => Promise<Outcome>;
}

/**
 * Files that take minutes. Each has a guest of its own, so that guests that run
 * side by side end at about the same time.
 */
const LONG = new Set([
  "conformance_test.ts",
  "faults_test.ts",
  "provision_test.ts",
]);

/** Tests that run only in the machines that name them. */
const SPECIAL: ReadonlySet<string> = new Set(
  ALL_MACHINES.flatMap(({ tests = [] }) => tests),
);

/**
 * Returns the jobs for a choice of tests. The longest jobs of a machine come
 * first.
 *
 * @param choice which tests to run
 */
export async function jobsOf(choice: Choice): Promise<Job[]> {
  const { only, machines, everything, filter, paths } = choice;
  const files = await filesOf(paths.length > 0 ? paths : [""]);
  const part = (name: Part) =>
    only === undefined || only === name
      ? files.filter((file) => partsOf(file).includes(name))
      : [];
  const [unit, host, guest] = [part("unit"), part("host"), part("vm")];
  const examples = await Promise.all(part("docs").map(hasExample));
  const docs = part("docs").filter((_, i) => examples[i]);
  const flags = filter === undefined ? [] : [`--filter=${filter}`];
  const inGuest = (
    name: string,
    machine: Machine,
    modules: readonly string[],
  ): Job => ({
    name,
    prepare: () => ready(machine),
    run: async () => {
      await ready(machine);
      return await runTests(machine, modules, { flags, everything });
    },
  });
  const newest = MACHINES[0]!;
  const jobs: Job[] = machines.flatMap((machine) => {
    const { tests, allTests = tests } = machine;
    const guestTests = guest.filter((file) => {
      const name = basename(file);
      const isIn = (names: readonly string[] | undefined) =>
        names?.includes(name) ?? !SPECIAL.has(name);
      if (paths.includes(file)) return isIn(tests) || isIn(allTests);
      return everything ? isIn(allTests) : isIn(tests) && runsOn(machine, file);
    });
    return portionsOf(machine, guestTests).map((files) =>
      inGuest(machine.name, machine, files)
    );
  });
  if (docs.length > 0) {
    // On a real kernel, as most examples attach a device.
    jobs.unshift({
      name: "docs",
      prepare: () => ready(newest),
      run: async () => {
        await ready(newest);
        await using examples = await exampleTests(docs);
        const preload = "--preload=tests/docs/stage.ts";
        const how = { flags: [preload, ...flags] };
        return await runTests(newest, [examples.path], how);
      },
    });
  }
  if (host.length > 0) {
    jobs.push({
      name: "host",
      // Some tests compile C with the headers of the kernel that is built.
      prepare: () => ready(newest),
      run: async () => {
        await ready(newest);
        // Printed at the end, as guests print meanwhile.
        return await denoTest(["-A", ...flags, ...host], {
          stdout: "piped",
          stderr: "piped",
        });
      },
    });
  }
  if (unit.length > 0) {
    jobs.unshift({
      name: "unit",
      run: () => denoTest(["--parallel", ...flags, ...unit]),
    });
  }
  return jobs;
}

/** The preparations of machines, by kernel. */
const preparations = new Map<string, Promise<void>>();

function ready(machine: Machine): Promise<void> {
  const { kernel } = machine;
  const known = preparations.get(kernel) ?? prepare([machine]);
  preparations.set(kernel, known);
  return known;
}

/** Divides the files of a machine so that each that takes minutes is alone. */
function portionsOf(machine: Machine, files: readonly string[]): string[][] {
  // Without an IOMMU most of them have nothing to do.
  const isLong = (file: string) =>
    machine.iommu !== "none" && LONG.has(basename(file));
  const others = files.filter((file) => !isLong(file));
  return [
    ...files.filter(isLong).map((file) => [file]),
    ...others.length > 0 ? [others] : [],
  ];
}

/** The files among files and folders, "" being the checkout. */
async function filesOf(paths: readonly string[]): Promise<string[]> {
  const files = await Promise.all(
    paths.map((path) =>
      /\.ts$/.test(path) ? [path] : Array.fromAsync(
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
