/**
 * The state of a random sequence of the library's operations.
 *
 * @module
 */
import {
  AddressSpace,
  type BackendName,
  type DmaMapping,
  type DmaMemory,
  type HostDevice,
  type Mapping,
  type VfioDevice,
} from "../../../mod.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../../lib/uapi/linux/mman.ts";
import type { Bench } from "../bench.ts";
import { MEDIATED_UUID, typePath } from "../mediated.ts";
import { type FunctionName, FUNCTIONS } from "./world.ts";

/** One of two places. */
export type At = 0 | 1;

/** The size of a page, in bytes. */
export const PAGE = 4096;

/** The serial port of the sample `mtty`, which migrates. */
const PORT = `/sys/bus/mdev/devices/${MEDIATED_UUID}`;

/** Two address spaces, with attached devices and mappings. */
export class LibraryWorld implements AsyncDisposable {
  readonly #bench: Bench;
  readonly #taken = new AsyncDisposableStack();
  /** Memory of the process. */
  readonly memory: Mapping;
  /** A file in memory, of two pages. */
  readonly file: number;
  /** The address spaces. Closed ones are replaced. */
  readonly spaces: AddressSpace[];
  /** The devices, attached or detached. */
  readonly devices = new Map<FunctionName, VfioDevice>();
  /** Allocated memory, by place. */
  readonly memories: (DmaMemory | undefined)[] = [];
  /** Mappings, by place. */
  readonly mappings: (DmaMapping | undefined)[] = [];
  /**
   * The address space of the serial port. By the container and by iommufd other
   * pages count as written where such a device is among others.
   */
  readonly portSpace: AddressSpace;
  /** The serial port, attached or detached. */
  port: VfioDevice | undefined;
  /** A state that was saved of it. */
  saved: Uint8Array<ArrayBuffer> | undefined;
  readonly #backend: BackendName;

  /**
   * @param bench The system.
   * @param backend The backend of both spaces.
   */
  constructor(bench: Bench, backend: BackendName) {
    this.#bench = bench;
    this.#backend = backend;
    const { kernel } = bench.host;
    const flags = MAP_SHARED | MAP_ANONYMOUS;
    const protection = PROT_READ | PROT_WRITE;
    this.memory = kernel.mmap(2 * PAGE, protection, flags, -1, 0n);
    this.file = kernel.memfd("random", 0);
    kernel.ftruncate(this.file, BigInt(2 * PAGE));
    this.spaces = [this.#space(), this.#space()];
    this.portSpace = this.#space();
  }

  /** Takes the functions from their drivers, and makes the port. */
  async begin(): Promise<void> {
    const { host } = this.#bench;
    for (const name of FUNCTIONS) {
      this.#taken.use(await host.take(this.address(name)));
    }
    await this.#bench.loadSample("mtty");
    const create = `${typePath("mtty-1")}/create`;
    await host.kernel.writeFileAsync(create, MEDIATED_UUID);
    this.#taken.defer(() => host.kernel.writeFileAsync(`${PORT}/remove`, "1"));
  }

  /** The serial port, to be attached. */
  get portDevice(): HostDevice {
    return this.#bench.host.find(PORT);
  }

  /** The PCI address of a function. */
  address(name: FunctionName): string {
    return this.#bench.machine.devices[name]!;
  }

  /** Closes a space, and replaces it. */
  async renew(at: At): Promise<void> {
    await this.spaces[at]!.close();
    this.spaces[at] = this.#space();
  }

  #space(): AddressSpace {
    const { host } = this.#bench;
    return new AddressSpace({ host, backend: this.#backend });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using _taken = this.#taken;
    for (const space of [...this.spaces, this.portSpace]) await space.close();
    this.#bench.host.kernel.munmap(this.memory);
    this.#bench.host.kernel.close(this.file);
  }
}
