/**
 * The fixtures of conformance tests. In a virtual machine the tests run on its
 * real kernel, elsewhere on a simulation of each machine's kernel. They expect
 * the same answers.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { BackendName, HostDevice, Kernel, Mapping } from "../../mod.ts";
import { vfioNodes } from "../../lib/host/iommu/nodes.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import { VFIO_TYPE1v2_IOMMU } from "../../lib/uapi/vfio/all.ts";
import { Attachments } from "../attachments.ts";
import { type EmulatedIommu, IOMMUS } from "../vm/iommus.ts";
import { currentMachine } from "../vm/machine_env.ts";
import type { Bench, Sample, System } from "./bench.ts";
import { Cdev, type DeviceFile } from "./device_file.ts";
import { EventFd } from "./event_fd.ts";
import { type Expected, expectedOf } from "./expected.ts";
import type { KernelFile } from "./kernel_file.ts";
import { Container, Group, Iommufd } from "./nodes.ts";
import { realSystem } from "./real.ts";
import { otherIommus, simulatedSystems } from "./simulated.ts";

const MAPPING_LIMIT = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";

const NO_IOMMU_MODE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";

const HUGE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

const here = currentMachine();

// On a simulation, nothing has to wait for real time.
if (here === undefined) await import("../virtual_time.ts");

/** The systems that tests are run on. */
export const SYSTEMS: readonly System[] = here === undefined
  ? simulatedSystems()
  : [await realSystem(here)];

/** The systems for tests of what differs between IOMMUs. */
export const IOMMU_SYSTEMS: readonly System[] = here === undefined
  ? [...SYSTEMS, ...otherIommus()]
  : SYSTEMS;

/** The fixtures of a test. Everything is released when it ends. */
export class Setup extends Attachments {
  #open = new DisposableStack();
  /** The system. */
  readonly bench: Bench;

  /**
   * @param bench The system.
   * @param backend The backend under test.
   */
  constructor(bench: Bench, backend: BackendName) {
    super(bench.host, bench.machine, backend);
    this.bench = bench;
  }

  /** The system. */
  get kernel(): Kernel {
    return this.bench.host.kernel;
  }

  /** The files that this process has open. */
  get descriptors(): readonly string[] {
    return this.bench.holdings().descriptors;
  }

  /** Memory that this process has locked, in kB. */
  get locked(): number {
    return this.bench.holdings().locked;
  }

  /** The answers of this kernel where others answer differently. */
  get expected(): Expected {
    return expectedOf(this.bench.release);
  }

  /** The IOMMU of the system, which has one. */
  get iommu(): EmulatedIommu {
    const { iommu } = this.bench.machine;
    if (iommu === "none") throw new RangeError("It has no IOMMU");
    return IOMMUS[iommu];
  }

  /**
   * Limits how many mappings a new container takes.
   *
   * @param count The limit.
   */
  limitMappings(count: number): Disposable {
    const { kernel } = this;
    const before = kernel.readFile(MAPPING_LIMIT).trimEnd();
    kernel.writeFile(MAPPING_LIMIT, String(count));
    return {
      [Symbol.dispose]: () => kernel.writeFile(MAPPING_LIMIT, before),
    };
  }

  /** Switches no-IOMMU mode on, until it is disposed of. */
  noIommuMode(): Disposable {
    const { kernel } = this;
    kernel.writeFile(NO_IOMMU_MODE, "1");
    return { [Symbol.dispose]: () => kernel.writeFile(NO_IOMMU_MODE, "0") };
  }

  /**
   * Reserves huge pages of 2 MiB, until it is disposed of.
   *
   * @param count How many.
   */
  hugePages(count: number): Disposable {
    const { kernel } = this;
    kernel.writeFile(HUGE_PAGES, String(count));
    return { [Symbol.dispose]: () => kernel.writeFile(HUGE_PAGES, "0") };
  }

  /** Closes a file when the test ends, if it is still open. */
  use<F extends KernelFile>(file: F): F {
    return this.#open.use(file);
  }

  /** Opens a container. */
  container(): Container {
    return this.use(new Container(this.kernel));
  }

  /** Opens an iommufd. */
  iommufd(): Iommufd {
    return this.use(new Iommufd(this.kernel));
  }

  /** Takes a function and opens its group. */
  async group(name: string): Promise<Group> {
    const { group } = vfioNodes(await this.take(name));
    return this.use(new Group(this.kernel, group!));
  }

  /** Takes a function and opens its own node. */
  async cdev(name: string): Promise<Cdev> {
    const { cdev } = vfioNodes(await this.take(name));
    return this.use(new Cdev(this.kernel, cdev!));
  }

  /** A container with a function's group in it, and its IOMMU set. */
  async readyContainer(
    name: string,
    type: number = VFIO_TYPE1v2_IOMMU,
  ): Promise<{ group: Group; container: Container }> {
    const group = await this.group(name);
    const container = this.container();
    group.setContainer(container);
    container.setIommu(type);
    return { group, container };
  }

  /** An IOAS, and a function attached to it. */
  async readyIoas(
    name: string,
  ): Promise<{ cdev: Cdev; iommufd: Iommufd; ioas: number }> {
    const cdev = await this.cdev(name);
    const iommufd = this.iommufd();
    cdev.bind(iommufd);
    const ioas = iommufd.allocate();
    cdev.attach(ioas);
    return { cdev, iommufd, ioas };
  }

  /** A function whose registers can be used, by the backend under test. */
  async device(name: string): Promise<DeviceFile> {
    if (this.backend === "iommufd") return (await this.readyIoas(name)).cdev;
    const { group } = await this.readyContainer(name);
    return this.use(group.device(this.address(name)));
  }

  /**
   * A mediated device whose registers can be used, by the backend under test.
   *
   * @param device The device.
   */
  mediatedFile(device: HostDevice): DeviceFile {
    const { group, cdev } = vfioNodes(device);
    if (this.backend === "iommufd") {
      const file = this.use(new Cdev(this.kernel, cdev!));
      file.bind(this.iommufd());
      return file;
    }
    const container = this.container();
    const file = this.use(new Group(this.kernel, group!));
    file.setContainer(container);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    return this.use(file.device(device.name));
  }

  /** Memory of this process. */
  memory(length: number): Mapping {
    const { kernel } = this;
    const flags = MAP_SHARED | MAP_ANONYMOUS;
    const protection = PROT_READ | PROT_WRITE;
    const memory = kernel.mmap(length, protection, flags, -1, 0n);
    this.#open.defer(() => kernel.munmap(memory));
    return memory;
  }

  /** Makes an eventfd that is read without waiting. */
  eventfd(): EventFd {
    return this.use(new EventFd(this.kernel));
  }

  /** Closes the files that are open. */
  closeAll(): void {
    const open = this.#open;
    this.#open = new DisposableStack();
    open.dispose();
  }

  /** Closes everything, and gives the functions back. */
  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.closeAll();
    } finally {
      await super[Symbol.asyncDispose]();
    }
  }
}

/** The systems that a test runs on. */
export interface Scope {
  /** The backend under test. Default: each in turn. */
  readonly backend?: BackendName;
  /** A backend that the system has to have. */
  readonly on?: BackendName;
  /**
   * A sample of mediated devices that the kernel has to have. On one without it
   * the test is ignored, by its name.
   */
  readonly sample?: Sample;
  /** The systems. Default: all. */
  readonly systems?: readonly System[];
}

/**
 * Makes a test for each backend of each system. Asserts that this process holds
 * nothing more after the test than before.
 *
 * @param name The name of the test. The system and the backend are put before
 * it.
 * @param test The test.
 * @param scope On which systems, and for which of their backends.
 */
export function forEachBackend(
  name: string,
  test: (setup: Setup) => void | Promise<void>,
  { backend: only, on, sample, systems = SYSTEMS }: Scope = {},
): void {
  for (const system of systems) {
    const { backends } = system.machine;
    if (on !== undefined && !backends.includes(on)) continue;
    for (const backend of backends) {
      if (only !== undefined && backend !== only) continue;
      const title = `${system.name} ${backend}: ${name}`;
      const ignore = sample !== undefined && !system.samples.includes(sample);
      // The older kernels have no samples at all.
      if (ignore && system.samples.length === 0) continue;
      testOn(system, backend, title, test, ignore);
    }
  }
}

function testOn(
  system: System,
  backend: BackendName,
  name: string,
  test: (setup: Setup) => void | Promise<void>,
  ignore = false,
): void {
  Deno.test({ name, ignore }, async () => {
    await using bench = system.bench();
    const before = bench.holdings();
    {
      await using setup = new Setup(bench, backend);
      await test(setup);
    }
    assertEquals(bench.holdings(), before);
  });
}

/** Like {@linkcode forEachBackend}, for the legacy container only. */
export function withContainer(
  name: string,
  test: (setup: Setup) => void | Promise<void>,
  scope: Scope = {},
): void {
  forEachBackend(name, test, { ...scope, backend: "legacy" });
}

/** Like {@linkcode forEachBackend}, for iommufd only. */
export function withIommufd(
  name: string,
  test: (setup: Setup) => void | Promise<void>,
  scope: Scope = {},
): void {
  forEachBackend(name, test, { ...scope, backend: "iommufd" });
}

/** Like {@linkcode forEachBackend}, for machines without an IOMMU. */
export function withoutIommu(
  name: string,
  test: (setup: Setup) => void | Promise<void>,
): void {
  for (const system of SYSTEMS) {
    if (system.machine.iommu !== "none") continue;
    testOn(system, "legacy", `${system.name}: ${name}`, test);
  }
}
