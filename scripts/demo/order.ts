/**
 * What the demo shows in which virtual machine, and in which order.
 *
 * @module
 */
import type { BackendName } from "../../mod.ts";
import { MachineError } from "../../tests/vm/errors.ts";
import { type Machine, machineNamed } from "../../tests/vm/machines.ts";

/** Has both backends. Its kernel is built, which takes minutes. */
const WHOLE = machineNamed("testbed");

/** Has the legacy backend. Of Debian's kernels it is the quickest to have. */
const FIRST = machineNamed("debian-6.1");

/** The story, or the whole, in which a virtual machine has the function too. */
export type Part = "story" | "whole";

/** What boots machines. */
export interface Stage {
  /** Whether its kernel needs neither be fetched nor built. */
  hasKernel(machine: Machine): Promise<boolean>;
  /** Installs, fetches and builds what it needs. */
  ready(machine: Machine): Promise<void>;
  /** Boots it and shows something there; gives the exit code. */
  show(machine: Machine, part: Part, backend?: BackendName): Promise<number>;
  /** Ends what makes a machine ready. */
  end(): void;
  /** Prints a line. */
  print(line: string): void;
}

/**
 * Shows the whole in one machine.
 *
 * @param stage What boots it.
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
 * @param stage What boots machines.
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
  built.catch(() => {}); // it is told when Debian's kernel has had its turn
  try {
    await stage.ready(FIRST);
    const code = await stage.show(FIRST, "story", "legacy");
    if (code !== 0) throw new MachineError(`It failed in ${FIRST.name}`);
  } catch (error) {
    stage.end();
    await Promise.allSettled([built]);
    throw error;
  }
  stage.print(
    "\nThe same by iommufd follows on a kernel that is built for it.",
  );
  await built;
  return await stage.show(WHOLE, "whole");
}
