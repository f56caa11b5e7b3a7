/**
 * Which tests run on the older kernels, and why. The newest kernel runs all
 * tests, and an older one only those of what it does differently.
 * `--everything` runs all tests on all kernels.
 *
 * A test in these files may also try a sample only: see `triesAll()` in
 * `machine_env.ts`.
 *
 * @module
 */
import { basename } from "@std/path";
import type { KernelName } from "./kernel.ts";
import type { Machine } from "./machines.ts";

/** Why older kernels run a file of tests, too. */
interface Difference {
  /** The kernels. */
  readonly on: readonly KernelName[];
  /** What they do differently. */
  readonly why: string;
}

const BOTH = ["debian-6.1", "debian-6.12"] as const;

/** By the name of the file. All other files run on the newest kernel only. */
export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  "conformance_test.ts": {
    on: BOTH,
    why: "it compares each kernel's answers with the simulation of that kernel",
  },
  "doctor_test.ts": {
    on: BOTH,
    why: "other things are built in, modules or missing, so the advice differs",
  },
  "guards_test.ts": {
    on: ["debian-6.12"],
    why: "only Debian's kernels have file systems and device-mapper",
  },
  "give_back_test.ts": {
    on: ["debian-6.1"],
    why: "drivers are modules, and sysfs shows them in an older way",
  },
  "low_power_test.ts": {
    on: ["debian-6.12"],
    why: "Debian's kernels suspend devices (CONFIG_PM)",
  },
  "provision_test.ts": {
    on: BOTH,
    why: "the modules' parameters and power management are Debian's",
  },
  "qemu_test.ts": {
    on: ["debian-6.12"],
    why: "most people run QEMU on these kernels",
  },
  "rom_test.ts": {
    on: ["debian-6.1"],
    why: "reading a ROM has changed between versions",
  },
  "select_test.ts": {
    on: BOTH,
    why: "without iommufd another backend is chosen, with a reason",
  },
  "take_test.ts": {
    on: BOTH,
    why: "driver_override and the drivers' modules differ",
  },
  "user_test.ts": {
    on: ["debian-6.1"],
    why: "the account of locked memory has changed between versions",
  },
  "viability_test.ts": {
    on: ["debian-6.1"],
    why: "which drivers keep a group viable has changed between versions",
  },
};

/**
 * Whether a machine runs a file of tests when not everything is asked for.
 *
 * @param machine the machine
 * @param file the path of the tests
 */
export function runsOn(machine: Machine, file: string): boolean {
  if (machine.kernel === "testbed" || machine.tests !== undefined) return true;
  return DIFFERENCES[basename(file)]?.on.includes(machine.kernel) ?? false;
}
