/**
 * The fixtures of tests in a guest: the machine's functions, taken from their
 * drivers, and address spaces of the backend under test.
 *
 * @module
 */
import { type BackendName, Host } from "../../../mod.ts";
import { Attachments } from "../../attachments.ts";
import { loadAll } from "../../host/load_all.ts";
import { addressIn, currentMachine, type MachineInfo } from "../machine_env.ts";

/** The machine that the tests run in. */
export const machine: MachineInfo = thisMachine();

/** The guest, as the library sees it. */
export const host: Host = new Host();

/** The fixtures of a test. Everything is released when it ends. */
export class Setup extends Attachments {
  /** @param backend The backend under test. */
  constructor(backend: BackendName) {
    super(host, machine, backend);
  }
}

/**
 * Makes a test for each backend that works in this machine.
 *
 * @param name The name of the test. The backend is put before it.
 * @param test The test.
 * @param needs A device without which a machine cannot run it.
 */
export function forEachBackend(
  name: string,
  test: (setup: Setup) => Promise<void>,
  needs?: string,
): void {
  if (needs !== undefined && machine.devices[needs] === undefined) return;
  for (const backend of machine.backends) {
    Deno.test(`${backend}: ${name}`, async () => {
      await using setup = new Setup(backend);
      await test(setup);
    });
  }
}

/**
 * The PCI address of one of the machine's functions.
 *
 * @param name What the machine calls it.
 */
export function addressOf(name: string): string {
  return addressIn(machine, name);
}

function thisMachine(): MachineInfo {
  const machine = currentMachine();
  if (machine !== undefined) return machine;
  throw new Error("This test runs in a virtual machine: deno task test");
}

// libc is loaded in parts, each at its first use, which in a test would look
// like a leak.
await loadAll(host.kernel);
