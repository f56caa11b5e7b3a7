/**
 * What the tests in a guest begin with: the machine's functions, taken from
 * their drivers, and address spaces of the backend under test.
 *
 * @module
 */
import {
  AddressSpace,
  type BackendName,
  Host,
  type PciFunction,
  type TakenFunction,
  VfioDevice,
} from "../../../mod.ts";
import { loadAll } from "../../host/load_all.ts";
import { currentMachine, type MachineInfo } from "../machine_env.ts";

/** The machine that the tests run in. */
export const machine: MachineInfo = thisMachine();

/** The guest, as the library sees it. */
export const host: Host = new Host();

/** What a test works with. Everything goes when it ends. */
export class Setup implements AsyncDisposable {
  readonly #spaces = new AsyncDisposableStack();
  readonly #taken = new AsyncDisposableStack();
  readonly #taking = new Map<string, Promise<TakenFunction>>();
  /** The backend under test. */
  readonly backend: BackendName;

  /** @param backend The backend under test. */
  constructor(backend: BackendName) {
    this.backend = backend;
  }

  /**
   * Makes an address space.
   *
   * @param backend Default: the backend under test.
   */
  space(backend: BackendName = this.backend): AddressSpace {
    return this.#spaces.use(new AddressSpace({ host, backend }));
  }

  /**
   * Takes a function from its driver, unless that is done.
   *
   * @param name What the machine calls it.
   */
  async take(name: string): Promise<PciFunction> {
    const present = this.#taking.get(name);
    if (present !== undefined) return (await present).function;
    const taking = host.take(addressOf(name));
    this.#taking.set(name, taking);
    return this.#taken.use(await taking).function;
  }

  /**
   * Takes a function and attaches it.
   *
   * @param name What the machine calls it.
   * @param space Default: a new one.
   */
  async attach(
    name: string,
    space: AddressSpace = this.space(),
  ): Promise<VfioDevice> {
    return await VfioDevice.attach(await this.take(name), space);
  }

  /** Closes the spaces, and gives the functions back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using _taken = this.#taken;
    await this.#spaces.disposeAsync();
  }
}

/**
 * Makes a test for each backend that works in this machine.
 *
 * @param name What the test shows; the backend is put before it.
 * @param test Shows it.
 */
export function forEachBackend(
  name: string,
  test: (setup: Setup) => Promise<void>,
): void {
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
  const address = machine.devices[name];
  if (address === undefined) throw new RangeError(`There is no "${name}"`);
  return address;
}

function thisMachine(): MachineInfo {
  const machine = currentMachine();
  if (machine !== undefined) return machine;
  throw new Error("This test runs in a virtual machine: deno task test");
}

// libc is loaded in parts, each at its first use: in a test that would look
// like a leak.
await loadAll(host.kernel);
