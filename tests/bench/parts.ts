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
import { NIC_MACHINE } from "./nic_machine.ts";
import { NVME_MACHINE } from "./nvme_machine.ts";
import { measureRings } from "./rings.ts";
import { measureStarts } from "./start.ts";

/** The machine. By its own clock an access to a device takes no time. */
const MACHINE: Machine = { ...machineNamed("testbed"), hostClock: true };

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
  /** The path of libvfn's `perf`, where it is to be measured, too. */
  readonly libvfn: string | undefined;
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

/** A script for a machine, which prints a comparison a line, as JSON. */
interface GuestScript {
  /** Its file in this folder. */
  readonly script: string;
  /** Its arguments. */
  readonly args: readonly (string | number)[];
  /** The Debian packages that it needs. */
  readonly packages?: readonly string[];
  /** What is said of C in the title. */
  readonly peer?: string;
}

async function inGuest(
  { found }: Bench,
  machine: Machine,
  { script, args, packages, peer = "" }: GuestScript,
): Promise<void> {
  await prepare([machine], packages);
  const path = `tests/bench/${script}`;
  await cacheModules([path]);
  const how = await accelerator() === "kvm" ? "under KVM" : "emulated";
  const where = `in ${machine.name}, ${how}${peer}`;
  const command = denoCommand("run", [FLAGS, path, ...args.map(String)]);
  const exitCode = await runInGuest(machine, {
    command,
    stdout: async (stream) => {
      for await (const line of lines(stream)) {
        const { aspect, ...comparison } = JSON.parse(line);
        found(aspect === undefined ? where : `${where}; ${aspect}`, comparison);
      }
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
  await inGuest(bench, MACHINE, {
    script: "guest.ts",
    args: [program, rounds],
  });
}

async function irqs(bench: Bench): Promise<void> {
  await inGuest(bench, IRQS_MACHINE, {
    script: "irqs_guest.ts",
    args: [bench.program, bench.quick ? 3 : 11],
  });
}

async function iommu(bench: Bench): Promise<void> {
  const { program, quick } = bench;
  await here(bench, measureDirty(program, quick ? 11 : 31));
  await inGuest(bench, machineNamed("testbed"), {
    script: "iommu_guest.ts",
    args: [program, quick ? 3 : 11],
  });
}

async function nvme(bench: Bench): Promise<void> {
  const { program, quick, libvfn } = bench;
  await here(bench, measureRings(program, quick ? 301 : 1501));
  await inGuest(bench, machineNamed("debian-6.12"), {
    script: "rings_guest.ts",
    args: [program, quick ? 3 : 11],
    peer: ", by a clock that counts instructions",
  });
  await inGuest(bench, NVME_MACHINE, {
    script: "nvme_guest.ts",
    args: [quick ? 1 : 3, ...libvfn === undefined ? [] : [libvfn]],
    packages: ["fio"],
    peer: ", C: the other driver",
  });
}

async function nic(bench: Bench): Promise<void> {
  await inGuest(bench, NIC_MACHINE, {
    script: "nic_guest.ts",
    args: [bench.quick ? 3 : 11],
    packages: ["ethtool", "iproute2"],
    peer: ", C: the kernel's driver, by pktgen",
  });
}

/** The parts. */
export const PARTS = { core, irqs, iommu, nvme, nic } as const;
