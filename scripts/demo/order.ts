/**
 * Which part of the demo is shown in which virtual machine, and in which order.
 *
 * @module
 */
import type { BackendName } from "../../mod.ts";
import { MachineError } from "../../tests/vm/errors.ts";
import { type Machine, machineNamed } from "../../tests/vm/machines.ts";

/** A machine with both backends. Its kernel is built, which takes minutes. */
const WHOLE = machineNamed("testbed");

/**
 * A machine with the legacy backend. Its kernel is the one of Debian's that is
 * quickest to get.
 */
const FIRST = machineNamed("debian-6.1");

/**
 * The story alone, or the whole, which also gives the function to a virtual
 * machine.
 */
export type Part = "story" | "whole";

/** What boots machines. */
export interface Stage {
  /** Whether its kernel needs neither be fetched nor built. */
  hasKernel(machine: Machine): Promise<boolean>;
  /** Installs, fetches and builds what it needs. */
  ready(machine: Machine): Promise<void>;
  /** Boots it and shows a part there; returns the exit code. */
  show(machine: Machine, part: Part, backend?: BackendName): Promise<number>;
  /** Aborts all preparation. */
  end(): void;
  /** Prints a line. */
  print(line: string): void;
}

/**
 * Shows the whole in one machine.
 *
 * @param stage Boots it.
 * @param machine The machine.
 * @param backend The only backend. Default: each that it has.
 * @returns The exit code.
 */
export async function inMachine(
  stage: Stage,
  machine: Machine,
  backend?: BackendName,
): Promise<number> {
  await stage.ready(machine);
  return await stage.show(machine, "whole", backend);
}

/**
 * Shows the whole on the kernel with both backends. Where that has to be built
 * first, the story is shown by the legacy backend meanwhile, on a kernel of
 * Debian.
 *
 * @param stage Prepares and boots machines.
 * @param backend The only backend. For legacy, nothing is built.
 * @returns The exit code.
 */
export async function inMachines(
  stage: Stage,
  backend?: BackendName,
): Promise<number> {
  if (backend === "iommufd" || await stage.hasKernel(WHOLE)) {
    return await inMachine(stage, WHOLE, backend);
  }
  if (backend === "legacy") return await inMachine(stage, FIRST, backend);

  const built = stage.ready(WHOLE);
  built.catch(() => {}); // reported by the second `await`
  try {
    await stage.ready(FIRST);
    const code = await stage.show(FIRST, "story", "legacy");
    if (code !== 0) throw new MachineError(`The demo failed in ${FIRST.name}`);
  } catch (error) {
    stage.end();
    await Promise.allSettled([built]);
    throw error;
  }
  stage.print(
    "\nNext: the same by iommufd, on a kernel that is built for it.",
  );
  await built;
  return await stage.show(WHOLE, "whole");
}
