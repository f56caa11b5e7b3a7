/**
 * What the tests in a guest begin with: its devices, taken from their drivers,
 * and address spaces of the backend under test.
 *
 * @module
 */
import {
  AddressSpace,
  type AddressSpaceOptions,
  type BackendName,
  Host,
  type PciFunction,
  VfioDevice,
} from "../../../mod.ts";
import { currentMachine, type MachineInfo } from "../machine_env.ts";

/** The machine that the tests run in. */
export const machine: MachineInfo = currentMachine() ??
  (() => {
    throw new Error("These tests run in a guest: deno task test --only vm");
  })();

/** The guest as the library sees it. */
export const host: Host = new Host();

/**
 * The PCI address of one of the machine's devices.
 *
 * @param name What the machine calls it.
 */
export function addressOf(name: string): string {
  const address = machine.devices[name];
  if (address === undefined) throw new RangeError(`No device "${name}"`);
  return address;
}

/** What a test of one backend works with; everything goes when it ends. */
export class Setup implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #taken = new Map<string, Promise<PciFunction>>();
  /** The backend under test. */
  readonly backend: BackendName;

  /** @param backend The backend under test. */
  constructor(backend: BackendName) {
    this.backend = backend;
  }

  /** A new address space of the backend under test. */
  space(options: AddressSpaceOptions = {}): AddressSpace {
    const { backend } = this;
    return this.#stack.use(new AddressSpace({ host, backend, ...options }));
  }

  /** One of the machine's functions, bound to vfio-pci. */
  take(name: string): Promise<PciFunction> {
    const present = this.#taken.get(name);
    if (present !== undefined) return present;
    const taking = host.take(addressOf(name)).then((taken) => {
      this.#stack.use(taken);
      return taken.function;
    });
    this.#taken.set(name, taking);
    return taking;
  }

  /** One of the machine's functions, attached. */
  async attach(
    name: string,
    space: AddressSpace = this.space(),
  ): Promise<VfioDevice> {
    const device = await VfioDevice.attach(await this.take(name), space);
    return this.#stack.use(device);
  }

  /** Releases everything, what came last first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
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

// libc is loaded in parts, each at its first use, which a test would seem to
// leak.
const { kernel } = host;
kernel.munmap(kernel.mmap(kernel.pageSize, 0, 0x22, -1, 0n));
await kernel.pollAsync([], 0);
