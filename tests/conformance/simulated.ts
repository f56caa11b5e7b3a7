/**
 * Simulations of the virtual machines: the same devices at the same addresses,
 * on the same kernels.
 *
 * @module
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { AddressSpace, type BackendName, Host, VfioDevice } from "../../mod.ts";
import { buildMachine } from "../../lib/sim/machine/build.ts";
import type { SimKernel } from "../../lib/sim/process/kernel.ts";
import type { Machine } from "../../lib/sim/machine/machine.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../lib/sim/machine/topology.ts";
import { IOMMUS } from "../vm/iommus.ts";
import type { KernelName } from "../vm/kernel.ts";
import type { MachineInfo } from "../vm/machine_env.ts";
import {
  type Device,
  DEVICES,
  IOMMU_MACHINES,
  machineInfo,
  MACHINES,
} from "../vm/machines.ts";
import type { Bench, Holdings, OtherProcess, System } from "./bench.ts";

/** The kernel releases of the machines. */
const RELEASES: Readonly<Record<KernelName, string>> = {
  "testbed": "7.3.4-passthru",
  "debian-6.1": "6.1.0-50-amd64",
  "debian-6.12": "6.12.90-1-amd64",
};

/** What is added to the names of machines, by IOMMU. */
const SUFFIXES: Readonly<Record<MachineInfo["iommu"], string>> = {
  "intel": "",
  "intel-first-stage": " with first-stage tables",
  "amd": " with AMD's IOMMU",
  "virtio": " with a virtio IOMMU",
  "none": " without IOMMU",
};

/** The PCI Express port that a bus other than 00 is behind. */
function portOf(bus: string): string {
  return `0000:00:${(0x1a + parseInt(bus, 16)).toString(16)}.0`;
}

/** QEMU's devices, by the beginning of their `-device`. */
const MODELS: Readonly<Record<string, FunctionTopology>> = {
  "edu": { model: "edu", subsystem: "1af4:1100", revision: 0x10 },
  "nvme": {
    id: "1b36:0010",
    class: 0x010802,
    driver: "nvme",
    reset: ["flr"],
    bars: ["16K 64bit", null],
    interrupts: { intx: true, msix: 65 },
  },
  "e1000e": {
    id: "8086:10d3",
    class: 0x020000,
    driver: "e1000e",
    reset: ["pm"],
    bars: ["128K", "128K", "32 io", "16K"],
    interrupts: { intx: true, msi: 1, msix: 5 },
  },
  "secondary-vga": {
    id: "1234:1111",
    class: 0x038000,
    conventional: true,
    bars: ["16M prefetchable", null, "4K"],
    interrupts: {},
  },
  "nec-usb-xhci": {
    id: "1033:0194",
    class: 0x0c0330,
    bars: ["16K 64bit"],
    interrupts: { intx: true, msi: 16 },
  },
  "VGA": {
    id: "1234:1111",
    class: 0x030000,
    conventional: true,
    bars: ["16M prefetchable", null, "4K"],
    interrupts: {},
  },
  "virtio-rng-pci": {
    id: "1af4:1044",
    class: 0x00ff00,
    driver: "virtio-pci",
    reset: ["flr"],
    bars: [null, "4K", null, null, "16K 64bit prefetchable"],
    interrupts: { intx: true, msix: 2 },
  },
  "pci-testdev": {
    id: "1b36:0005",
    class: 0x00ff00,
    conventional: true,
    bars: ["4K", "256 io"],
    interrupts: {},
  },
};

/** The mediated types of the kernel's samples. */
const SAMPLES: NonNullable<Topology["mediatedTypes"]> = {
  "/sys/devices/virtual/mtty/mtty": {
    "mtty-1": { instances: 24 },
    "mtty-2": { instances: 12 },
  },
  "/sys/devices/virtual/mdpy/mdpy": {
    "mdpy-vga": { instances: 4 },
    "mdpy-xga": { instances: 4 },
    "mdpy-hd": { instances: 4 },
  },
  "/sys/devices/virtual/mbochs/mbochs": {
    "mbochs-small": { instances: 64 },
    "mbochs-medium": { instances: 16 },
    "mbochs-large": { instances: 4 },
  },
};

/** The simulated kernels, each with the machines' devices. */
export function simulatedSystems(): readonly System[] {
  return MACHINES.map((machine) => simulationOf(machineInfo(machine)));
}

/** The simulated machines with other IOMMUs. */
export function otherIommus(): readonly System[] {
  return IOMMU_MACHINES.map((machine) => simulationOf(machineInfo(machine)));
}

/**
 * The simulation of a machine.
 *
 * @param machine The machine.
 * @param names The functions that it has. Default: all.
 * @param devices Describes them. Default: those of most machines.
 */
export function simulationOf(
  machine: MachineInfo,
  names: readonly string[] = Object.keys(machine.devices),
  devices: readonly Device[] = DEVICES,
): System {
  const { iommu } = machine;
  const kernel = machine.kernel as KernelName;
  const release = RELEASES[kernel];
  const firstStage = iommu === "intel-first-stage";
  const topology: Topology = {
    iommu: firstStage ? "intel" : iommu,
    firstStage,
    kernel: {
      release,
      iommufd: kernel === "testbed",
      ...iommu !== "none" && {
        commandLine: [
          ...IOMMUS[iommu].parameters,
          // On QEMU's machine Linux does not use what the simulation has.
          ...iommu === "amd" ? ["intremap=off"] : [],
        ].join(" "),
      },
    },
    functions: functions(devices.filter(({ name }) => names.includes(name))),
    mediatedTypes: kernel === "testbed" ? SAMPLES : {},
    files: { "/proc/cpuinfo": "flags\t\t: fpu hypervisor\n" },
  };
  const version = release.match(/^\d+\.\d+/)![0];
  return {
    name: `simulated ${version}${SUFFIXES[iommu]}`,
    machine,
    isReal: false,
    samples: kernel === "testbed" ? ["mbochs", "mdpy", "mtty"] : [],
    bench: () => new SimulatedBench(machine, topology),
    // Each bench has its own other process.
    startOther: () => new AsyncDisposableStack(),
  };
}

/** The topology of devices. */
function functions(
  devices: readonly Device[],
): Record<string, FunctionTopology> {
  return Object.fromEntries(
    devices.map((device) => [device.address, functionOf(device, devices)]),
  );
}

function functionOf(
  { address, model, rom }: Device,
  devices: readonly Device[],
): FunctionTopology {
  const kind = model.split(",")[0]!;
  const topology = MODELS[kind];
  if (topology === undefined) throw new Error(`There is no model of "${kind}"`);
  const bus = address.slice(5, 7);
  const behind = bus === "00" ? {} : { behind: portOf(bus) };
  const neighbours = devices.filter(({ address }) =>
    address.slice(5, 7) === bus
  );
  // The kernel resets a function by its bus only where it is alone on it.
  const reset = bus === "00" || neighbours.length > 1
    ? {}
    : { reset: [...topology.reset ?? [], "bus"] };
  const total = Number(/sriov_max_vfs=(\d+)/.exec(model)?.[1] ?? 0);
  const { id, driver } = topology;
  const sriov = total === 0
    ? {}
    : { sriov: { total, id: id!, driver: driver!, offset: 1, stride: 1 } };
  // QEMU makes a region of this size for it.
  const contents = rom && {
    rom: `${2 ** Math.ceil(Math.log2(rom.length))}`,
    romContents: rom,
  };
  return { ...topology, ...behind, ...reset, ...sriov, ...contents };
}

/** A simulated machine for one test. */
class SimulatedBench implements Bench {
  readonly isNew = true;
  readonly machine: MachineInfo;
  readonly release: string;
  readonly host: Host;
  readonly #machine: Machine;
  readonly #process: SimKernel;
  #other: SimulatedProcess | undefined;

  constructor(info: MachineInfo, topology: Topology) {
    this.machine = info;
    this.#machine = buildMachine(topology);
    this.release = this.#machine.features.release;
    this.#process = this.#machine.spawn();
    this.host = new Host({ kernel: this.#process });
  }

  holdings(): Holdings {
    const { files, memory, locked, pinned } = this.#process;
    return {
      descriptors: [...files.values()].map(({ linkText }) => linkText).sort(),
      mappings: Array(memory.size).fill("mapped"),
      locked: (locked + pinned) / 1024,
    };
  }

  // Interrupts arrive as they are raised.
  async settle(): Promise<void> {}

  // The modules are there from the beginning.
  async loadSample(): Promise<void> {}

  get processName(): string {
    return nameOf(this.#process);
  }

  get other(): OtherProcess {
    return this.#other ??= new SimulatedProcess(this.#machine.spawn());
  }

  async assertFault(forbidden: () => Promise<void>): Promise<void> {
    const before = this.#machine.faults.length;
    await forbidden();
    assertNotEquals(this.#machine.faults.length, before);
  }

  // deno-lint-ignore require-await
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id, userOwned } of this.#machine.groups.values()) {
      assertEquals(userOwned, false, `group ${id}`);
    }
    assertEquals([...this.#machine.pinnedByUser.values()].filter(Boolean), []);
  }
}

/** Another process of a simulated machine. */
class SimulatedProcess implements OtherProcess {
  readonly #process: SimKernel;
  #space: AddressSpace | undefined;

  constructor(process: SimKernel) {
    this.#process = process;
  }

  get name(): string {
    return nameOf(this.#process);
  }

  async attach(
    address: string,
    backend: BackendName,
    detachOnRequest = false,
  ): Promise<AsyncDisposable> {
    await this.detach();
    const host = new Host({ kernel: this.#process });
    this.#space = new AddressSpace({ host, backend });
    await VfioDevice.attach(address, this.#space, { detachOnRequest });
    return { [Symbol.asyncDispose]: () => this.detach() };
  }

  async detach(): Promise<void> {
    await this.#space?.close();
    this.#space = undefined;
  }
}

function nameOf({ name, pid }: SimKernel): string {
  return `${name} (process ${pid})`;
}
