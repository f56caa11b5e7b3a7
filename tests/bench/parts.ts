/**
 * What is measured, by its parts.
 *
 * @module
 */
import { accelerator } from "../vm/accelerator.ts";
import { lines } from "../vm/command.ts";
import { MachineError } from "../vm/errors.ts";
import { runInGuest } from "../vm/guest.ts";
import { cacheModules, denoCommand } from "../vm/guest_deno.ts";
import { type Machine, machineNamed } from "../vm/machines.ts";
import { prepare } from "../vm/prepare.ts";
import { measureApply } from "./apply.ts";
import type { Comparison } from "./compare.ts";
import { measureDirty } from "./dirty.ts";
import { measureHost } from "./host.ts";
import { IRQS_MACHINE } from "./irqs_machine.ts";
import { measureLatency } from "./latency.ts";
import { measureRings } from "./rings.ts";
import { measureStarts } from "./start.ts";

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

const HERE = "on this machine";

/** What measures need. */
export interface Bench {
  /** A directory of their own. */
  readonly dir: string;
  /** The C program. */
  readonly program: string;
  /** Whether a few rounds are enough. */
  readonly quick: boolean;
  /** Takes a result, and where it was measured. */
  readonly found: (where: string, comparison: Comparison) => void;
}

async function here(
  { found }: Bench,
  comparisons: AsyncIterable<Comparison>,
  where = HERE,
): Promise<void> {
  for await (const comparison of comparisons) found(where, comparison);
}

/** Runs a script in a machine, which prints a comparison a line, as JSON. */
async function inGuest(
  { program, found }: Bench,
  machine: Machine,
  script: string,
  rounds: number,
  peer = "",
): Promise<void> {
  await prepare([machine]);
  await cacheModules([script]);
  const how = await accelerator() === "kvm" ? "under KVM" : "emulated";
  const where = `in ${machine.name}, ${how}${peer}`;
  const exitCode = await runInGuest(machine, {
    command: denoCommand("run", [FLAGS, script, program, String(rounds)]),
    stdout: async (stream) => {
      for await (const line of lines(stream)) found(where, JSON.parse(line));
    },
    stderr: (stream) =>
      stream.pipeTo(Deno.stderr.writable, { preventClose: true }),
  });
  if (exitCode !== 0) {
    throw new MachineError(`${script} failed in ${machine.name}, see above`);
  }
}

async function core(bench: Bench): Promise<void> {
  const { program, dir, quick } = bench;
  await here(bench, measureHost(program, dir, quick ? 21 : 101));
  await here(bench, measureLatency(program, quick ? 5 : 11));
  bench.found(HERE, await measureApply(quick ? 1 : 3));
  const rounds = quick ? 9 : 31;
  const starts = `${HERE}, C: an empty script`;
  await here(bench, measureStarts(dir, rounds), starts);
  await inGuest(bench, MACHINE, "tests/bench/guest.ts", rounds);
}

async function irqs(bench: Bench): Promise<void> {
  const script = "tests/bench/irqs_guest.ts";
  await inGuest(bench, IRQS_MACHINE, script, bench.quick ? 3 : 11);
}

async function iommu(bench: Bench): Promise<void> {
  const { program, quick } = bench;
  await here(bench, measureDirty(program, quick ? 11 : 31));
  const machine = machineNamed("testbed");
  await inGuest(bench, machine, "tests/bench/iommu_guest.ts", quick ? 3 : 11);
}

async function nvme(bench: Bench): Promise<void> {
  const { program, quick } = bench;
  await here(bench, measureRings(program, quick ? 301 : 1501));
  const script = "tests/bench/nvme_guest.ts";
  const peer = ", C: the kernel's driver";
  await inGuest(bench, NVME_MACHINE, script, quick ? 5 : 11, peer);
}

/** The parts. */
export const PARTS = { core, irqs, iommu, nvme } as const;
