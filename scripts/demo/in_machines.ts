/**
 * The demo in virtual machines, with whatever they need: it is installed,
 * fetched and built here.
 *
 * @module
 */
import type { BackendName } from "../../mod.ts";
import { endCommands, lines } from "../../tests/vm/command.ts";
import { requirePackages } from "../../tests/vm/debian.ts";
import { MachineError } from "../../tests/vm/errors.ts";
import { runInGuest, SIGNALS } from "../../tests/vm/guest.ts";
import { cacheModules, denoCommand } from "../../tests/vm/guest_deno.ts";
import { hasKernel, kernel } from "../../tests/vm/kernel.ts";
import { type Machine, machineNamed } from "../../tests/vm/machines.ts";
import { BOOT_PACKAGES, prepare } from "../../tests/vm/prepare.ts";
import { note, print } from "../../tests/vm/progress.ts";

/** The demo's part in a virtual machine. */
const GUEST_SCRIPT = "scripts/demo/guest.ts";

/** So that devices have names; the guest has this machine's files. */
const NAMES = ["pci.ids"];

/** Has both backends. Its kernel is built, which takes minutes. */
const WHOLE = machineNamed("testbed");

/** Has the legacy backend. Of Debian's kernels it is the quickest to have. */
const FIRST = machineNamed("debian-6.1");

/**
 * Shows the story in one machine.
 *
 * @param machine The machine.
 * @param backend The only backend. Default: each that it has.
 * @returns The exit code.
 */
export async function inMachine(
  machine: Machine,
  backend?: BackendName,
): Promise<number> {
  return await tidily(async () => {
    await ready(machine);
    return await show(machine, "whole", backend);
  });
}

/**
 * Shows the story on the kernel with both backends; before that on one of
 * Debian's, by the legacy backend, where the former has to be built first.
 *
 * @param backend The only backend. For legacy, nothing is built.
 * @returns The exit code.
 */
export async function inMachines(backend?: BackendName): Promise<number> {
  if (backend === "iommufd" || await hasKernel(WHOLE.kernel)) {
    return await inMachine(WHOLE, backend);
  }
  if (backend === "legacy") return await inMachine(FIRST, backend);
  return await tidily(async () => {
    const built = ready(WHOLE);
    const first = (async () => {
      await ready(FIRST);
      const code = await show(FIRST, "story", "legacy");
      if (code !== 0) throw new MachineError(`It failed in ${FIRST.name}`);
      print(
        "\nThe same by iommufd follows once a kernel that has it is built.",
      );
    })();
    await together(first, built);
    return await show(WHOLE, "whole");
  });
}

/** Installs, fetches and builds what a machine needs. */
async function ready(machine: Machine): Promise<void> {
  await requirePackages([...BOOT_PACKAGES, ...NAMES]);
  await together(
    prepare([machine], NAMES),
    cacheModules([GUEST_SCRIPT]),
    // A download goes on while packages are installed; a build needs them.
    ...(machine.kernel === "testbed" ? [] : [kernel(machine.kernel)]),
  );
}

/** Boots a machine and tells the story there. */
async function show(
  machine: Machine,
  part: "story" | "whole",
  backend?: BackendName,
): Promise<number> {
  const { release } = await kernel(machine.kernel);
  print(`\n══ Real: Linux ${release} in QEMU, which emulates the devices`);
  print(`Booting ${machine.name} (${machine.about})`);
  print("All of it is emulated: on hardware each step is much quicker\n");
  return await runInGuest(machine, {
    command: denoCommand("run", [GUEST_SCRIPT, part, backend ?? ""]),
    stdout: (stream) => each(stream, print),
    stderr: (stream) => each(stream, note),
  });
}

async function each(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  for await (const line of lines(stream)) take(line);
}

/**
 * Waits for all, and where one fails until the others have cleaned up.
 *
 * @throws What the first of them threw.
 */
async function together(...work: Promise<unknown>[]): Promise<void> {
  try {
    await Promise.all(work);
  } catch (error) {
    endCommands(new MachineError("Not needed any more"));
    await Promise.allSettled(work);
    throw error;
  }
}

/** Does the work; an interruption ends it without leftovers, a second at once. */
async function tidily<T>(work: () => Promise<T>): Promise<T> {
  let interruption: MachineError | undefined;
  const interrupt = () => {
    if (interruption !== undefined) Deno.exit(1);
    interruption = new MachineError("Interrupted");
    note("Removing what is not finished: interrupt again to leave it there");
    endCommands(interruption);
  };
  for (const signal of SIGNALS) Deno.addSignalListener(signal, interrupt);
  try {
    return await work();
  } catch (error) {
    throw interruption ?? error;
  } finally {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, interrupt);
  }
}
