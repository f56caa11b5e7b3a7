/**
 * Takes and attaches a machine's functions for a test.
 *
 * @module
 */
import {
  AddressSpace,
  type AddressSpaceOptions,
  type BackendName,
  type Host,
  type PciFunction,
  type TakenDevice,
  VfioDevice,
} from "../mod.ts";
import { addressIn, type MachineInfo } from "./vm/machine_env.ts";

/**
 * Functions that are taken from their drivers, and attached. Disposing of it
 * closes the spaces and gives the functions back.
 */
export class Attachments implements AsyncDisposable {
  readonly #machine: MachineInfo;
  readonly #spaces = new AsyncDisposableStack();
  readonly #taken = new AsyncDisposableStack();
  readonly #taking = new Map<string, Promise<TakenDevice>>();
  /** The system as the library sees it. */
  readonly host: Host;
  /** The backend under test. */
  readonly backend: BackendName;

  /**
   * @param host The system as the library sees it.
   * @param machine Names its functions.
   * @param backend The backend under test.
   */
  constructor(host: Host, machine: MachineInfo, backend: BackendName) {
    this.host = host;
    this.#machine = machine;
    this.backend = backend;
  }

  /**
   * The PCI address of one of the machine's functions.
   *
   * @param name The machine's name for it.
   */
  address(name: string): string {
    return addressIn(this.#machine, name);
  }

  /**
   * Makes an address space.
   *
   * @param options What it is besides. Default: by the backend under test.
   */
  space(options: AddressSpaceOptions = {}): AddressSpace {
    const { host, backend } = this;
    return this.#spaces.use(new AddressSpace({ host, backend, ...options }));
  }

  /**
   * Takes a function from its driver, unless it is taken already.
   *
   * @param name The machine's name for it.
   */
  async take(name: string): Promise<PciFunction> {
    const fn = this.host.function(this.address(name));
    const present = this.#taking.get(name);
    const taking = present ?? this.host.take(fn);
    this.#taking.set(name, taking);
    const taken = await taking;
    if (present === undefined) this.#taken.use(taken);
    return fn;
  }

  /**
   * Takes a function and attaches it.
   *
   * @param name The machine's name for it.
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
