/**
 * The state of a random sequence: files in a few numbered places, so that
 * operations use each other's files. An operation that names an empty place
 * uses the other place, so that few operations do nothing.
 *
 * @module
 */
import type { Kernel, Mapping } from "../../../mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../../lib/uapi/linux/mman.ts";
import { answer, answerOf } from "../answer.ts";
import type { Bench } from "../bench.ts";
import type { Cdev, DeviceFile } from "../device_file.ts";
import { EduRegisters } from "../edu_registers.ts";
import { EventFd } from "../event_fd.ts";
import type { KernelFile } from "../kernel_file.ts";
import { Container, Group, type Iommufd } from "../nodes.ts";

/** The functions that operations name: a group of one, and one of two. */
export const FUNCTIONS = ["edu0", "pair0", "pair1"] as const;

/** One of them. */
export type FunctionName = typeof FUNCTIONS[number];

/** How much memory there is, in pages. */
export const MEMORY_PAGES = 12;

const PCI = "/sys/bus/pci";

/** A file in a numbered place. */
class Place<F extends KernelFile> {
  file: F | undefined;
  /** The file's function. */
  of: FunctionName | undefined;

  /** Puts a file there, unless there is one. */
  put(open: () => F, of?: FunctionName): unknown {
    if (this.file !== undefined) return "taken";
    return answer(() => {
      this.file = open();
      this.of = of;
    });
  }

  /** Uses the file, where there is one. */
  with<T>(use: (file: F) => T): T | string {
    const { file } = this;
    return file === undefined ? "nothing" : answer(() => use(file));
  }

  /** Closes it. */
  close(): unknown {
    if (this.file === undefined) return "nothing";
    const { file } = this;
    this.file = undefined;
    return answer(() => file.close());
  }
}

/** The two places for files of a kind. */
class Places<F extends KernelFile> {
  readonly #places = [new Place<F>(), new Place<F>()] as const;

  /** The place of a number, or the other where only that has a file. */
  used(at: 0 | 1): Place<F> {
    return this.#find(at, (place) => place.file !== undefined);
  }

  /** The place of a number, or the other where only that has none. */
  free(at: 0 | 1): Place<F> {
    return this.#find(at, (place) => place.file === undefined);
  }

  /** Both. */
  [Symbol.iterator](): Iterator<Place<F>> {
    return this.#places.values();
  }

  #find(at: 0 | 1, is: (place: Place<F>) => boolean): Place<F> {
    const place = this.#places[at];
    return is(place) ? place : this.#places.find(is) ?? place;
  }
}

/** The files, the memory and the functions of one sequence. */
export class World {
  /** The system. */
  readonly bench: Bench;
  /** Open groups, by the function that was named. */
  readonly groups = new Places<Group>();
  /** Open containers. */
  readonly containers = new Places<Container>();
  /** Open iommufds. */
  readonly iommufds = new Places<Iommufd>();
  /** Open devices, from groups. */
  readonly devices = new Places<DeviceFile>();
  /** Open devices, by their own nodes. */
  readonly cdevs = new Places<Cdev>();
  /** Mapped registers, by the function that has them. */
  readonly registers = new Map<FunctionName, Mapping>();
  /** The eventfds that interrupts signal. */
  readonly eventfds: readonly EventFd[];
  /** Memory to map. */
  readonly memory: Mapping;

  /** @param bench The system. */
  constructor(bench: Bench) {
    this.bench = bench;
    const { kernel } = this;
    this.memory = pages(kernel, MEMORY_PAGES);
    this.eventfds = [new EventFd(kernel), new EventFd(kernel)];
  }

  /** The system's kernel. */
  get kernel(): Kernel {
    return this.bench.host.kernel;
  }

  /** The PCI address of a function. */
  address(name: FunctionName): string {
    return this.bench.machine.devices[name]!;
  }

  /** The nodes of a function. */
  nodes(name: FunctionName): ReturnType<typeof vfioNodes> {
    return vfioNodes(this.bench.host.function(this.address(name)));
  }

  /** Writes to a file of sysfs. */
  async write(path: string, text: string): Promise<unknown> {
    return await answerOf(() =>
      this.kernel.writeFileAsync(`${PCI}/${path}`, text)
    );
  }

  /** Whether a function is open, so that unbinding it would hang. */
  isOpen(name: FunctionName): boolean {
    return this.registers.has(name) ||
      [...this.devices, ...this.cdevs]
        .some(({ file, of }) => file !== undefined && of === name);
  }

  /**
   * Prepares the functions for a sequence: binds them to vfio-pci, and clears
   * their registers.
   *
   * @param isNew Whether no sequence was before.
   */
  async begin(isNew: boolean): Promise<void> {
    for (const name of FUNCTIONS) {
      const address = this.address(name);
      const override = `devices/${address}/driver_override`;
      await this.write(override, "vfio-pci");
      await this.write("drivers_probe", address);
    }
    for (const name of isNew ? [] : FUNCTIONS) {
      using group = new Group(this.kernel, this.nodes(name).group!);
      using container = new Container(this.kernel);
      group.setContainer(container);
      container.setIommu(1);
      using device = group.device(this.address(name));
      new EduRegisters(device).clear();
    }
  }

  /** Closes everything, and releases the functions. */
  async end(): Promise<void> {
    for (const mapping of this.registers.values()) this.kernel.munmap(mapping);
    const all: readonly Place<KernelFile>[] = [
      ...this.devices,
      ...this.cdevs,
      ...this.groups,
      ...this.containers,
      ...this.iommufds,
    ];
    for (const place of all) place.close();
    for (const eventfd of this.eventfds) eventfd.close();
    this.kernel.munmap(this.memory);
    for (const name of FUNCTIONS) {
      const address = this.address(name);
      await this.write("drivers/vfio-pci/unbind", address);
      await this.write(`devices/${address}/driver_override`, "\n");
    }
  }
}

function pages(kernel: Kernel, count: number): Mapping {
  const flags = MAP_SHARED | MAP_ANONYMOUS;
  const size = count * kernel.pageSize;
  return kernel.mmap(size, PROT_READ | PROT_WRITE, flags, -1, 0n);
}
