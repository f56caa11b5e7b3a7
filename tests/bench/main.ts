/**
 * `deno task bench`: measures the library, in times of a C program that makes
 * the same calls.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { MachineError } from "../vm/errors.ts";
import { duration } from "../vm/progress.ts";
import type { Comparison } from "./compare.ts";
import { PARTS } from "./parts.ts";
import { compilePeer } from "./peer.ts";
import { plot } from "./plot.ts";
import { line, outcome, table } from "./report.ts";

const USAGE = `deno task bench [--only PART] [--quick] [--json]
                [--libvfn PERF] [--plot FILE]

Measures the library against a C program that makes the same calls, in turn
with it. What it takes to start is measured against an empty script. Medians of
rounds.

  --only core   attach, map and register reads in a virtual machine; calls,
                starts and an apply on this machine
  --only irqs   interrupts, in a virtual machine
  --only iommu  large mappings, many, and what devices have written
  --only nvme   the NVMe driver of examples/: over rings in memory on this
                machine, and in a virtual machine against the kernel's driver,
                which fio uses
  --only nic    the network card's driver of examples/, against the kernel's
  --libvfn PERF also measures libvfn, whose program examples/perf is PERF
  --plot FILE   draws what --only nvme measures in the machine, as SVG
  --quick       few rounds: about a minute, and less exact
  --json        prints everything as JSON, each round's nanoseconds too`;

type PartName = keyof typeof PARTS;
const NAMES = Object.keys(PARTS) as PartName[];

/** Comparisons, by where they were made. */
type Places = Map<string, Comparison[]>;

async function measure(
  parts: readonly PartName[],
  quick: boolean,
  libvfn: string | undefined,
): Promise<Places> {
  const start = performance.now();
  const places: Places = new Map();
  const found = (where: string, comparison: Comparison) => {
    places.getOrInsertComputed(where, () => []).push(comparison);
    const elapsed = duration(performance.now() - start);
    console.error(`  ${elapsed.padStart(8)}  ${line(comparison)}`);
  };
  const dir = await Deno.makeTempDir({ prefix: "passthru-bench-" });
  try {
    const program = await compilePeer(dir);
    for (const part of parts) {
      await PARTS[part]({ dir, program, quick, libvfn, found });
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  return places;
}

function printJson(places: Places): void {
  const measured = [...places].map(([title, comparisons]) => ({
    title,
    comparisons: comparisons.map((comparison) => {
      const { c, ts, ...rest } = comparison;
      return { ...rest, ...outcome(comparison), rounds: { c, ts } };
    }),
  }));
  console.log(JSON.stringify(measured, null, 2));
}

async function main(): Promise<void> {
  const options = parseArgs(Deno.args, {
    boolean: ["quick", "json", "help"],
    string: ["only", "plot", "libvfn"],
    unknown: (name) => {
      console.error(`Unknown argument ${name}\n\n${USAGE}`);
      Deno.exit(2);
    },
  });
  const { quick, json, help, only, libvfn, plot: picture } = options;
  if (help) return console.log(USAGE);
  const parts = NAMES.filter((name) => only === undefined || name === only);
  if (parts.length === 0 || (picture !== undefined && only !== "nvme")) {
    const names = NAMES.join(" or ");
    console.error(`Expected --only ${names}; --plot is for nvme\n\n${USAGE}`);
    Deno.exit(2);
  }
  const places = await measure(parts, quick, libvfn);
  if (picture !== undefined) {
    const [, comparisons] = [...places].find(([title]) =>
      title.endsWith("; time")
    )!;
    const title = "Random reads a second, in an emulated machine";
    const text = plot(title, "examples/nvme", comparisons);
    await Deno.writeTextFile(picture, text);
  }
  if (json) return printJson(places);
  for (const [title, comparisons] of places) {
    console.log(["", ...table(title, comparisons)].join("\n"));
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof MachineError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
