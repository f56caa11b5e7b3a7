/**
 * Boots virtual machines. Installs, fetches and builds what they need.
 *
 * @module
 */
import { onEndSignal } from "../../lib/kernel/interruption.ts";
import type { BackendName } from "../../mod.ts";
import { endCommands, lines } from "../../tests/vm/command.ts";
import { requirePackages } from "../../tests/vm/debian.ts";
import { MachineError } from "../../tests/vm/errors.ts";
import { runInGuest } from "../../tests/vm/guest.ts";
import { cacheModules, denoCommand } from "../../tests/vm/guest_deno.ts";
import { hasKernel, kernel } from "../../tests/vm/kernel.ts";
import type { Machine } from "../../tests/vm/machines.ts";
import { BOOT_PACKAGES, prepare, requireHost } from "../../tests/vm/prepare.ts";
import { note, print } from "../../tests/vm/progress.ts";
import type { Part, Stage } from "./order.ts";

/** The demo's part in a virtual machine. */
const GUEST_SCRIPT = "scripts/demo/guest.ts";

/** Gives devices their names: the guest has this machine's files. */
const NAMES = ["pci.ids"];

/** The virtual machines of the tests. */
export const STAGE: Stage = {
  hasKernel: (machine) => hasKernel(machine.kernel),
  ready,
  show,
  end: () => endCommands(new MachineError("Not needed any more")),
  print,
};

/** Installs, fetches and builds what a machine needs. */
async function ready(machine: Machine): Promise<void> {
  requireHost();
  await requirePackages([...BOOT_PACKAGES, ...NAMES]);
  await allSettled(
    prepare([machine], NAMES),
    cacheModules([GUEST_SCRIPT]),
    // A download goes on while packages are installed; a build needs them.
    ...(machine.kernel === "testbed" ? [] : [kernel(machine.kernel)]),
  );
}

/** Boots a machine and shows a part of the demo there. */
async function show(
  machine: Machine,
  part: Part,
  backend?: BackendName,
): Promise<number> {
  const { release } = await kernel(machine.kernel);
  print(`\n══ Real: Linux ${release} in QEMU, which emulates the devices`);
  print(`Booting ${machine.name} (${machine.about})`);
  print("All of it is emulated: on hardware each step is much quicker\n");
  return await runInGuest(machine, {
    command: denoCommand("run", [GUEST_SCRIPT, part, backend ?? ""]),
    stdout: (stream) => forEachLine(stream, print),
    stderr: (stream) => forEachLine(stream, note),
  });
}

async function forEachLine(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  for await (const line of lines(stream)) take(line);
}

/** Waits for all, then throws the error of the first one that failed. */
async function allSettled(...work: Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}

/**
 * Does work in virtual machines. The first interruption ends it and removes
 * what is not finished; a second one ends it at once.
 *
 * @param work The work.
 * @returns What it returns.
 * @throws {MachineError} When it was interrupted.
 */
export async function withCleanup<T>(work: () => Promise<T>): Promise<T> {
  let interruption: MachineError | undefined;
  const interrupt = () => {
    if (interruption !== undefined) Deno.exit(1);
    interruption = new MachineError("Interrupted");
    note("Removing what is not finished: interrupt again to leave it there");
    endCommands(interruption);
  };
  using _ = onEndSignal(interrupt);
  try {
    return await work();
  } catch (error) {
    throw interruption ?? error;
  }
}
