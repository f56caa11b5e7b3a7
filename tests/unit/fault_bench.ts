/**
 * Doing an operation while one of its calls to the kernel goes wrong.
 *
 * @module
 */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  AddressSpace,
  type BackendName,
  Host,
  type Ioctl,
  type Kernel,
  type TakenFunction,
  VfioDevice,
  VfioError,
} from "../../mod.ts";
import { errnosOf } from "../kernels/errnos_of.ts";
import { type Failing, type Fault, faulty } from "../kernels/fault.ts";
import type { KernelCall } from "../../lib/kernel/intercept.ts";
import { buildMachine } from "../../lib/sim/machine/build.ts";
import type { SimKernel } from "../../lib/sim/process/kernel.ts";
import type { Machine } from "../../lib/sim/machine/machine.ts";
import { PciFunction } from "../../lib/sim/pci/function.ts";
import type { Topology } from "../../lib/sim/machine/topology.ts";

/** With vfio-pci, alone in its group. */
export const A = "0000:01:00.0";
/** With vfio-pci, and in one group. */
export const B = "0000:02:00.0";
/** See {@linkcode B}. */
export const C = "0000:02:00.1";
/** Has virtual functions. */
export const PHYSICAL = "0000:03:00.0";
/** Where {@linkcode PHYSICAL} is told how many. */
export const NUMVFS = `/sys/bus/pci/devices/${PHYSICAL}/sriov_numvfs`;
/** With a driver of the host's. */
export const SPARE = "0000:04:00.0";
/** With no driver. */
export const UNBOUND = "0000:05:00.0";
/** With a driver of the host's, that it was bound to by its override. */
export const OVERRIDDEN = "0000:06:00.0";

const ON_VFIO = { model: "edu", driver: "vfio-pci", override: "vfio-pci" };
const NETWORK = { id: "8086:10d3", class: 0x020000 };
const TOPOLOGY: Topology = {
  functions: {
    [A]: ON_VFIO,
    [B]: { ...ON_VFIO, group: 9 },
    [C]: { ...ON_VFIO, group: 9 },
    [PHYSICAL]: {
      id: "8086:10c9",
      driver: "igb",
      sriov: { total: 4, id: "8086:10ca", driver: "igbvf" },
    },
    [SPARE]: { ...NETWORK, driver: "e1000e", power: "auto" },
    [UNBOUND]: NETWORK,
    [OVERRIDDEN]: { ...NETWORK, driver: "pci-stub", override: "pci-stub" },
  },
};

/** How a test asks for a backend. */
export type Wanted = BackendName | "auto";

/** A machine, and the process on it that the test is in. */
export class Bench {
  readonly machine: Machine = buildMachine(TOPOLOGY);
  readonly process: SimKernel = this.machine.spawn();

  /** All that an operation could leave behind. */
  state() {
    const { machine, process } = this;
    return {
      files: [...process.files.values()].map(({ linkText }) => linkText).sort(),
      mapped: process.memory.size,
      locked: process.locked,
      pinned: process.pinned,
      pinnedByUsers: [...machine.pinnedByUser.values()].filter(Boolean),
      owned: [...machine.groups.values()]
        .filter(({ userOwned }) => userOwned).map(({ id }) => id),
      functions: [...machine.devices].map((device) => {
        const { name, driver, override, vfio } = device;
        const power = device instanceof PciFunction ? device.power : "";
        return `${name} driver=${driver?.name} override=${override} ` +
          `power=${power} open=${vfio?.isOpen ?? false}`;
      }),
    };
  }
}

/** What {@linkcode Bench.state} tells. */
export type State = ReturnType<Bench["state"]>;

/** What an operation is done with. */
export class World {
  readonly host: Host;
  readonly space: AddressSpace;
  /** What was taken, and is given back at the end. */
  taken: TakenFunction | undefined;

  constructor(kernel: Kernel, backend: Wanted) {
    this.host = new Host({ kernel });
    this.space = new AddressSpace({ host: this.host, backend });
  }

  /** Attaches a function to the space. */
  attach(address: string): Promise<VfioDevice> {
    return VfioDevice.attach(address, this.space);
  }

  /** Puts everything back, the virtual functions too. */
  async end(): Promise<void> {
    await this.space.close();
    await this.taken?.giveBack();
    await this.host.kernel.writeFileAsync(NUMVFS, "0");
  }
}

/** What is done while a call goes wrong. */
export interface Operation<T> {
  /** Default: one by one. */
  readonly backends?: readonly Wanted[];
  /** What the system is like. Default: as it is simulated. */
  readonly system?: (kernel: Kernel) => Kernel;
  /** Comes before, while all is well. */
  prepare(world: World): T | Promise<T>;
  /** Is done while a call goes wrong, and once more where it failed. */
  act(world: World, prepared: T): unknown;
  /**
   * What a failure leaves: what there was before, unless all of it was done.
   * Or it is done whatever happens; or it got somewhere, and goes on from
   * there the next time.
   *
   * @default {"before"}
   */
  readonly leaves?: "before" | "done" | "part";
  /** Whether it asks the kernel itself, and so throws the kernel's errors. */
  readonly raw?: boolean;
  /**
   * Whether it believes an answer, that something is not there, that no kernel
   * gives where it is.
   */
  isTaken?(call: KernelCall, fault: Failing): boolean;
  /** Whether it finds another way when a call fails, with another result. */
  otherwise?(call: KernelCall, fault: Failing, backend: Wanted): boolean;
}

const unchanged = (kernel: Kernel) => kernel;

/** What an operation does when all is well. */
export interface Rehearsal {
  /** How many calls come before it. */
  readonly skipped: number;
  /** The calls that it makes. */
  readonly calls: readonly KernelCall[];
  /** What there is when it is done. */
  readonly after: State;
}

/** Does an operation while all is well. */
export async function rehearse<T>(
  { prepare, act, system = unchanged }: Operation<T>,
  backend: Wanted,
): Promise<Rehearsal> {
  const bench = new Bench();
  const initial = bench.state();
  const { kernel, calls } = faulty(bench.process);
  const world = new World(system(kernel), backend);
  const prepared = await prepare(world);
  const skipped = calls.length;
  await act(world, prepared);
  const made = calls.slice(skipped);
  const after = bench.state();
  await world.end();
  assertEquals(bench.state(), initial);
  return { skipped, calls: made, after };
}

/** The ways in which a call can go wrong, but for hanging. */
function failuresOf(call: KernelCall): Failing[] {
  const failures: Failing[] = errnosOf(call).map((code) => ({ code }));
  switch (call.method) {
    case "munmap":
      return [...failures, { code: "ENOMEM", done: true }];
    case "writeFileAsync":
      return [...failures, { code: "EIO", done: true }];
    case "pread":
    case "pwrite":
    case "readFile":
    case "readFileAsync":
      return [...failures, { bytes: 0 }, { bytes: 1 }];
    default:
      return failures;
  }
}

/** A call in words: `ioctl VFIO_SET_IOMMU`. */
export function textOf({ method, args }: KernelCall): string {
  if (method.startsWith("ioctl")) return `${method} ${(args[1] as Ioctl).name}`;
  return typeof args[0] === "string" ? `${method} ${args[0]}` : method;
}

/**
 * Makes a test for each backend: whatever goes wrong with whichever call, the
 * operation leaves what it may leave, and can be done again.
 */
export function failEachCall<T>(name: string, operation: Operation<T>): void {
  for (const backend of operation.backends ?? ["legacy", "iommufd"]) {
    Deno.test(`${backend}: ${name}`, async () => {
      const rehearsal = await rehearse(operation, backend);
      const { skipped, calls } = rehearsal;
      assert(calls.length > 0, "it asks nothing of the kernel");
      const bench = new Bench();
      for (const [i, call] of calls.entries()) {
        for (const failure of failuresOf(call)) {
          if (operation.isTaken?.(call, failure)) continue;
          const fault = { ...failure, nth: skipped + i + 1 };
          try {
            await withFault(bench, operation, backend, rehearsal, fault, call);
          } catch (cause) {
            const text = `${textOf(call)}: ${JSON.stringify(fault)}`;
            throw new Error(text, { cause });
          }
        }
      }
    });
  }
}

async function withFault<T>(
  bench: Bench,
  operation: Operation<T>,
  backend: Wanted,
  { after }: Rehearsal,
  fault: Fault,
  call: KernelCall,
): Promise<void> {
  const { prepare, act, leaves = "before", raw, system = unchanged } =
    operation;
  const initial = bench.state();
  const { kernel } = faulty(bench.process, fault);
  const world = new World(system(kernel), backend);
  const prepared = await prepare(world);
  const before = bench.state();
  const result = await settle(() => act(world, prepared));
  const now = bench.state();
  if (result.failed) {
    if (!raw) assertInstanceOf(result.error, VfioError, `${result.error}`);
    if (!isSame(now, after) && leaves !== "part") {
      assertSame(now, leaves === "done" ? after : before, `${result.error}`);
    }
    await act(world, prepared);
  } else if (!operation.otherwise?.(call, fault, backend)) {
    assertSame(now, after);
  }
  await world.end();
  assertSame(bench.state(), initial);
}

function isSame(a: State, b: State): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** `assertEquals()`, which takes longer than an attach, where they differ. */
function assertSame(actual: State, expected: State, message?: string): void {
  if (!isSame(actual, expected)) assertEquals(actual, expected, message);
}

async function settle(
  act: () => unknown,
): Promise<{ failed: boolean; error?: unknown }> {
  try {
    await act();
    return { failed: false };
  } catch (error) {
    return { failed: true, error };
  }
}
