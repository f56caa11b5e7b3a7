/**
 * `deno task bench`: measures the library, in times of a C program that makes
 * the same calls.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { accelerator } from "../vm/accelerator.ts";
import { lines } from "../vm/command.ts";
import { MachineError } from "../vm/errors.ts";
import { runInGuest } from "../vm/guest.ts";
import { cacheModules, denoCommand } from "../vm/guest_deno.ts";
import { type Machine, machineNamed } from "../vm/machines.ts";
import { prepare } from "../vm/prepare.ts";
import { duration } from "../vm/progress.ts";
import { measureApply } from "./apply.ts";
import type { Comparison } from "./compare.ts";
import { measureHost } from "./host.ts";
import { measureLatency } from "./latency.ts";
import { compilePeer } from "./peer.ts";
import { plot } from "./plot.ts";
import { outcome, table } from "./report.ts";
import { measureRings } from "./rings.ts";
import { measureStarts } from "./start.ts";

const USAGE = `deno task bench [--only nvme [--plot FILE]] [--quick] [--json]

Measures the library against a C program that makes the same calls, in turn
with it: attach, map and register reads in a virtual machine, one ioctl on this
machine. What it takes to start is measured against an empty script. Medians of
rounds.

  --only nvme   the NVMe driver of examples/: over rings in memory on this
                machine, and in a virtual machine against the kernel's driver
  --plot FILE   draws what --only nvme measures in the machine, as SVG
  --quick       few rounds: about a minute, and less exact
  --json        prints everything as JSON, each round's nanoseconds too`;

/** The script in the guest. */
const GUEST = "tests/bench/guest.ts";
const NVME_GUEST = "tests/bench/nvme_guest.ts";

/** The machine. By its own clock an access to a device takes no time. */
const MACHINE: Machine = { ...machineNamed("testbed"), hostClock: true };

/** A machine with a controller that answers at once. */
const NVME_MACHINE: Machine = {
  ...machineNamed("testbed"),
  name: "testbed-nvme",
  about: "a controller without a disk behind it",
  hostClock: true,
  devices: [{
    name: "nvme0",
    address: "0000:00:07.0",
    model: "nvme,serial=nvme0",
    behind: "nothing",
  }],
};

/**
 * V8 compiles and collects garbage on the main thread, rather than on others,
 * which are slow on emulated processors. The resulting code is the same, and
 * all of the work counts.
 */
const FLAGS = "--v8-flags=--single-threaded";

/** A place of comparisons, and their results. */
interface Place {
  readonly title: string;
  readonly comparisons: Comparison[];
}

async function measureInGuest(
  machine: Machine,
  guest: string,
  program: string,
  rounds: number,
  found: (comparison: Comparison) => void,
): Promise<void> {
  await cacheModules([guest]);
  const exitCode = await runInGuest(machine, {
    command: denoCommand("run", [FLAGS, guest, program, String(rounds)]),
    stdout: async (stream) => {
      for await (const line of lines(stream)) found(JSON.parse(line));
    },
    stderr: (stream) =>
      stream.pipeTo(Deno.stderr.writable, { preventClose: true }),
  });
  if (exitCode !== 0) {
    throw new MachineError(`${guest} failed in ${machine.name}, see above`);
  }
}

async function measure(quick: boolean): Promise<Place[]> {
  await prepare([MACHINE]);
  const how = await accelerator() === "kvm" ? "under KVM" : "emulated";
  const start = performance.now();
  const places = [
    { title: "on this machine", comparisons: [] as Comparison[] },
    {
      title: "on this machine, C: an empty script",
      comparisons: [] as Comparison[],
    },
    { title: `in ${MACHINE.name}, ${how}`, comparisons: [] as Comparison[] },
  ] as const;
  const found = ({ comparisons }: Place) => (comparison: Comparison) => {
    comparisons.push(comparison);
    const elapsed = duration(performance.now() - start);
    console.error(`  ${elapsed.padStart(8)}  ${comparison.what}`);
  };
  const dir = await Deno.makeTempDir({ prefix: "passthru-bench-" });
  try {
    const program = await compilePeer(dir);
    const here = measureHost(program, dir, quick ? 21 : 101);
    for await (const comparison of here) found(places[0])(comparison);
    const latencies = measureLatency(program, quick ? 5 : 11);
    for await (const comparison of latencies) found(places[0])(comparison);
    found(places[0])(await measureApply(quick ? 1 : 3));
    const rounds = quick ? 9 : 31;
    const starts = measureStarts(dir, rounds);
    for await (const comparison of starts) found(places[1])(comparison);
    await measureInGuest(MACHINE, GUEST, program, rounds, found(places[2]));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  return [...places];
}

/** Measures the NVMe driver only. */
async function measureNvme(quick: boolean): Promise<Place[]> {
  await prepare([NVME_MACHINE]);
  const how = await accelerator() === "kvm" ? "under KVM" : "emulated";
  const here: Place = { title: "on this machine", comparisons: [] };
  const guest: Place = {
    title: `in ${NVME_MACHINE.name}, ${how}, C: the kernel's driver`,
    comparisons: [],
  };
  const found = ({ comparisons }: Place) => (comparison: Comparison) => {
    comparisons.push(comparison);
    console.error(`  ${comparison.what}`);
  };
  const dir = await Deno.makeTempDir({ prefix: "passthru-bench-" });
  try {
    const program = await compilePeer(dir);
    const rings = measureRings(program, quick ? 301 : 1501);
    for await (const comparison of rings) found(here)(comparison);
    const rounds = quick ? 5 : 11;
    const inGuest = [NVME_MACHINE, NVME_GUEST, program, rounds] as const;
    await measureInGuest(...inGuest, found(guest));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  return [here, guest];
}

function printJson(places: readonly Place[]): void {
  const measured = places.map(({ title, comparisons }) => ({
    title,
    comparisons: comparisons.map((comparison) => {
      const { c, ts, ...rest } = comparison;
      return { ...rest, ...outcome(comparison), rounds: { c, ts } };
    }),
  }));
  console.log(JSON.stringify(measured, null, 2));
}

async function main(): Promise<void> {
  const { quick, json, help, only, plot: picture } = parseArgs(Deno.args, {
    boolean: ["quick", "json", "help"],
    string: ["only", "plot"],
    unknown: (name) => {
      console.error(`Unknown argument ${name}\n\n${USAGE}`);
      Deno.exit(2);
    },
  });
  if (help) return console.log(USAGE);
  if ((only ?? "nvme") !== "nvme" || (picture && !only)) {
    console.error(`Expected --only nvme\n\n${USAGE}`);
    Deno.exit(2);
  }
  const places = await (only === undefined ? measure : measureNvme)(quick);
  if (picture !== undefined) {
    const names = { c: "the kernel's driver", ts: "examples/nvme" };
    const { comparisons } = places.at(-1)!;
    const title = "Random reads a second, in an emulated machine";
    await Deno.writeTextFile(picture, plot(title, names, comparisons));
  }
  if (json) return printJson(places);
  for (const { title, comparisons } of places) {
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
