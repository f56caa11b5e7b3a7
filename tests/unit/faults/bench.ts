/**
 * Runs an operation in which one kernel call fails.
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
  type TakenDevice,
  VfioDevice,
  VfioError,
} from "../../../mod.ts";
import { makeDirectories } from "../../../lib/kernel/files.ts";
import { errnosOf } from "../../kernels/errnos_of.ts";
import { type Failing, type Fault, faulty } from "../../kernels/fault.ts";
import type { KernelCall } from "../../../lib/kernel/intercept.ts";
import { buildMachine } from "../../../lib/sim/machine/build.ts";
import type { SimKernel } from "../../../lib/sim/process/kernel.ts";
import type { Machine } from "../../../lib/sim/machine/machine.ts";
import { PciFunction } from "../../../lib/sim/pci/function.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";

/** A function with vfio-pci, alone in its group. */
export const A = "0000:01:00.0";
/** A function with vfio-pci, in one group with {@linkcode C}. */
export const B = "0000:02:00.0";
/** See {@linkcode B}. */
export const C = "0000:02:00.1";
/** A function with virtual functions. */
export const PHYSICAL = "0000:03:00.0";
/**
 * The attribute with the number of virtual functions of {@linkcode PHYSICAL}.
 */
export const NUMVFS = `/sys/bus/pci/devices/${PHYSICAL}/sriov_numvfs`;
/** A function with a host driver. */
export const SPARE = "0000:04:00.0";
/** A function without a driver. */
export const UNBOUND = "0000:05:00.0";
/** A function with a host driver by its override. */
export const OVERRIDDEN = "0000:06:00.0";
/** A function that can migrate. */
export const MOVED = "0000:08:00.0";

/** A function with vfio-pci that no IOMMU isolates. */
export const NAKED = "0000:07:00.0";

/** A function with vfio-pci and eight MSI-X vectors. */
export const VECTORS = "0000:09:00.0";

const ON_VFIO = { model: "edu", driver: "vfio-pci", override: "vfio-pci" };
const NETWORK = { id: "8086:10d3", class: 0x020000 };
const TOPOLOGY: Topology = {
  kernel: { unsafeNoIommu: true },
  hugePages: { "2M": 4 },
  dirtyTracking: true,
  functions: {
    [A]: { ...ON_VFIO, reset: ["flr", "pm"] },
    [B]: { ...ON_VFIO, group: 9, behind: "0000:00:1c.0" },
    [C]: { ...ON_VFIO, group: 9, behind: "0000:00:1c.0" },
    [PHYSICAL]: {
      id: "8086:10c9",
      driver: "igb",
      sriov: { total: 4, id: "8086:10ca", driver: "igbvf" },
    },
    [SPARE]: { ...NETWORK, driver: "e1000e", power: "auto" },
    [UNBOUND]: NETWORK,
    [NAKED]: { ...ON_VFIO, group: null },
    [MOVED]: { model: "scratchpad", driver: "mlx5_vfio_pci" },
    [VECTORS]: { ...NETWORK, driver: "vfio-pci", interrupts: { msix: 8 } },
    [OVERRIDDEN]: { ...NETWORK, driver: "pci-stub", override: "pci-stub" },
  },
};

/** The backend that a test asks for. */
export type Wanted = BackendName | "auto";

/** A machine, and the test's process on it. */
export class Bench {
  readonly machine: Machine = buildMachine(TOPOLOGY);
  readonly process: SimKernel = this.machine.spawn();

  constructor() {
    // The first take makes it. With it, the calls of every take are the same.
    makeDirectories(this.process, "/run/passthru");
  }

  /** Reads everything that an operation could leave behind. */
  state() {
    const { machine, process } = this;
    return {
      files: [...process.files.values()].map(({ linkText }) =>
        // A journal whose removal failed keeps its number.
        linkText.replace(/take-\d+/, "take-N")
      ).sort(),
      mapped: process.memory.size,
      locked: process.locked,
      pinned: process.pinned,
      hugePages: machine.hugePages.free(21),
      pinnedByUsers: [...machine.pinnedByUser.values()].filter(Boolean),
      owned: [...machine.groups.values()]
        .filter(({ userOwned }) => userOwned).map(({ id }) => id),
      functions: [...machine.devices].map((device) => {
        const { name, driver, override, vfio, resets } = device;
        const power = device instanceof PciFunction ? device.power : "";
        return `${name} driver=${driver?.name} override=${override} ` +
          `power=${power} open=${vfio?.isOpen ?? false} resets=${resets}` +
          (vfio?.isOpen ? ` state=${device.core.migration?.state}` : "");
      }),
    };
  }
}

/** The result of {@linkcode Bench.state}. */
export type State = ReturnType<Bench["state"]>;

/** The host and the address space of an operation. */
export class World {
  readonly host: Host;
  readonly space: AddressSpace;
  /** What is done at the end. */
  readonly later = new DisposableStack();
  /** The taken function, which is given back at the end. */
  taken: TakenDevice | undefined;

  constructor(kernel: Kernel, backend: Wanted) {
    this.host = new Host({ kernel });
    this.space = new AddressSpace({
      host: this.host,
      backend,
      unsafeNoIommu: true,
    });
  }

  /** Attaches a function to the space. */
  attach(address: string): Promise<VfioDevice> {
    return VfioDevice.attach(address, this.space);
  }

  /** Undoes everything, including virtual functions. */
  async end(): Promise<void> {
    await this.space.close();
    this.later.dispose();
    await this.taken?.giveBack();
    await this.host.kernel.writeFileAsync(NUMVFS, "0");
  }
}

/** An operation in which a call fails. */
export interface Operation<T> {
  /** Default: each of the two. */
  readonly backends?: readonly Wanted[];
  /** Changes the system. Default: no change. */
  readonly system?: (kernel: Kernel) => Kernel;
  /** Prepares the operation, without a failure. */
  prepare(world: World): T | Promise<T>;
  /** Does the operation with a failing call, and once more if it failed. */
  act(world: World, prepared: T): unknown;
  /**
   * The state after a failure: `"before"`, the state before, unless the
   * operation was completed; `"done"`, the completed state; or `"part"`, any
   * state from which the next attempt completes.
   *
   * @default {"before"}
   */
  readonly leaves?: "before" | "done" | "part";
  /**
   * Whether it calls the kernel directly, and so throws the kernel's errors.
   */
  readonly raw?: boolean;
  /**
   * Whether it believes an errno for a missing file, which no kernel returns
   * for an existing one.
   */
  isTaken?(call: KernelCall, fault: Failing): boolean;
  /**
   * Whether it completes in another way, with another result, when a call
   * fails.
   */
  otherwise?(call: KernelCall, fault: Failing, backend: Wanted): boolean;
}

const unchanged = (kernel: Kernel) => kernel;

/** A run of an operation without a failure. */
export interface Rehearsal {
  /** How many calls precede it. */
  readonly skipped: number;
  /** The calls that it makes. */
  readonly calls: readonly KernelCall[];
  /** The state after it. */
  readonly after: State;
}

/** Runs an operation without a failure. */
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

/** Where the journals and the lock are. */
const JOURNALS = /^\/(?:run|var\/lib)\/passthru(?:\/|$)/;

/** The errnos that the library tells apart when it opens a journal. */
const TOLD_APART: ReadonlySet<string> = new Set([
  "EACCES",
  "EEXIST",
  "EIO",
  "EISDIR",
  "ENOENT",
  "ENOSPC",
  "ENXIO",
]);

/** The errnos of a call. Those that are alike would take the most time. */
function codesOf(call: KernelCall): readonly string[] {
  const codes = errnosOf(call);
  return JOURNALS.test(String(call.args[0]))
    ? codes.filter((code) => TOLD_APART.has(code))
    : codes;
}

/** The ways in which a call can fail, except hanging. */
function failuresOf(call: KernelCall): Failing[] {
  const failures: Failing[] = codesOf(call).map((code) => ({ code }));
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
 * Makes a test for each backend, in which each call of the operation fails in
 * each way. The operation must leave an allowed state, and must be repeatable.
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

/**
 * Calls `assertEquals()` only when states differ, as it takes longer than an
 * attach.
 */
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
