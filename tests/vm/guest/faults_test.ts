/**
 * Each kernel call of attaching and detaching fails in turn. Everything that
 * was acquired is released, the error is one of the library's, and the next
 * attempt succeeds.
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import {
  AddressSpace,
  type BackendName,
  type DmaMemory,
  Host,
  type Ioctl,
  type Kernel,
  KernelError,
  VfioDevice,
  VfioError,
} from "../../../mod.ts";
import { errnoNumber } from "../../../lib/kernel/errno.ts";
import { faulty } from "../../kernels/fault.ts";
import { intercept, type KernelCall } from "../../../lib/kernel/intercept.ts";
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_PCI_CONFIG_REGION_INDEX,
  vfio_region_info,
} from "../../../lib/uapi/vfio/all.ts";
import { refused } from "../../failures.ts";
import { Edu, EDU_ID } from "./edu.ts";
import { descriptors, holdings } from "./observe.ts";
import { addressOf, forEachBackend, host, machine, Setup } from "./setup.ts";

/** The errnos with which calls fail. */
const CODES = [
  "EBUSY",
  "EINVAL",
  "EIO",
  "EMFILE",
  "ENOENT",
  "ENOMEM",
  "EPERM",
];

/** A selection, as another situation tries all of them. */
const FEW_CODES = ["EINVAL", "EIO", "ENOENT"];

/** The IOVA of the memory of a {@linkcode Scene}. */
const IOVA = 0x10_0000n;

/** The content of the neighbour's buffer. */
const MARK = 0x5a;

/** How `edu0` is attached, and how calls fail. */
interface Situation {
  readonly name: string;
  readonly backend: BackendName | "auto";
  readonly codes: readonly string[];
  /** Whether `edu1` is attached to the same space meanwhile. */
  readonly neighbour?: boolean;
  /** Changes the system. */
  readonly system?: (kernel: Kernel) => Kernel;
}

const SITUATIONS: readonly Situation[] = [
  ...machine.backends.flatMap((backend) => [
    { name: "alone", backend, codes: CODES },
    {
      name: "beside another device",
      backend,
      codes: FEW_CODES,
      neighbour: true,
    },
  ]),
  ...machine.backends.includes("legacy")
    ? [{
      name: "in a container of its own",
      backend: "legacy" as const,
      codes: FEW_CODES,
      neighbour: true,
      system: oneGroupEach,
    }]
    : [],
  ...machine.backends.includes("iommufd")
    ? [{ name: "alone", backend: "auto" as const, codes: FEW_CODES }]
    : [],
];

/**
 * A system in which each container takes one group only, as with some IOMMUs.
 */
function oneGroupEach(kernel: Kernel): Kernel {
  const full = new Set<unknown>();
  return intercept(kernel, ({ method, args }, proceed) => {
    if (method === "close") full.delete(args[0]);
    if (args[1] !== VFIO_GROUP_SET_CONTAINER) return proceed();
    const container = new DataView((args[2] as Uint8Array).buffer)
      .getInt32(0, true);
    if (full.has(container)) {
      throw new KernelError(errnoNumber("EINVAL"), "VFIO_GROUP_SET_CONTAINER");
    }
    const result = proceed();
    full.add(container);
    return result;
  });
}

/** An address space with memory in it, for `edu0` to be attached to. */
class Scene implements AsyncDisposable {
  readonly #memory: DmaMemory;
  readonly #neighbour: Edu | undefined;
  readonly space: AddressSpace;
  #device: VfioDevice | undefined;

  private constructor(
    space: AddressSpace,
    memory: DmaMemory,
    neighbour: Edu | undefined,
  ) {
    this.space = space;
    this.#memory = memory;
    this.#neighbour = neighbour;
  }

  static async set(
    kernel: Kernel,
    memory: DmaMemory,
    { backend, neighbour, system = (kernel) => kernel }: Situation,
  ): Promise<Scene> {
    const at = new Host({ kernel: system(kernel) });
    const space = new AddressSpace({ host: at, backend });
    space.map(memory, { iova: IOVA });
    const other = neighbour
      ? new Edu(await VfioDevice.attach(addressOf("edu1"), space))
      : undefined;
    return new Scene(space, memory, other);
  }

  /** Attaches `edu0`, and uses its registers. */
  async attach(): Promise<void> {
    this.#device = await VfioDevice.attach(addressOf("edu0"), this.space);
    assertEquals(this.#device.region(0).map().read32(0), EDU_ID);
  }

  /** Has each kind of interrupt arrive, and be disabled. */
  async interrupt(): Promise<void> {
    const device = this.#device!;
    device.setBusMaster(true);
    for (const name of ["msi", "intx"] as const) {
      const irq = device.irq(name);
      const [vector] = await irq.enable();
      irq.trigger();
      assertEquals(await vector!.next(), 1);
      await irq.disable();
    }
    await device.requests.vector();
  }

  /** Detaches `edu0`, where it was attached. */
  async detach(): Promise<void> {
    await this.#device?.detach();
  }

  /** Asserts that the neighbour still reaches the memory. */
  async assertNeighbourWorks(): Promise<void> {
    this.#memory.bytes[0] = 0;
    await this.#neighbour?.copyFromDevice(IOVA, 8);
    assertEquals(this.#memory.bytes[0], this.#neighbour ? MARK : 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.space.close();
  }
}

/** A call that failed. */
interface Failure {
  /** The method and its object. */
  readonly call: string;
  readonly code: string;
}

/** The calls that are tried in each {@linkcode Situation}. */
interface Trial {
  /** The only errno, where the function is alone. Default: each, everywhere. */
  readonly code?: string;
  /** Prepares the calls that fail. */
  prepare?(scene: Scene): Promise<void>;
  /** Makes the calls that fail. */
  act(scene: Scene): Promise<void>;
  /** Checks its error, or the result in spite of the failure. */
  check(
    error: unknown,
    failure: Failure,
    scene: Scene,
    situation: Situation,
  ): void;
}

/**
 * Makes a test for each situation. In it each call of a trial fails with each
 * errno, leaves nothing behind, and the trial can be repeated.
 */
function failEachCall(name: string, trial: Trial): void {
  const { code } = trial;
  const situations = code === undefined ? SITUATIONS : SITUATIONS
    .filter(({ name, backend }) => name === "alone" && backend !== "auto")
    .map((situation) => ({ ...situation, codes: [code] }));
  for (const situation of situations) {
    const title = `${situation.backend}: ${name} ${situation.name}`;
    Deno.test(title, async () => {
      await using setup = new Setup("legacy");
      await setup.take("edu0");
      const memory = await markNeighbour(setup);
      await failEachIn(situation, memory, trial);
    });
  }
}

/**
 * Fills the neighbour's buffer, and returns the memory that it is filled from.
 */
async function markNeighbour(setup: Setup): Promise<DmaMemory> {
  const space = setup.space();
  await using neighbour = await setup.attach("edu1", space);
  const memory = space.allocate(4096, { iova: IOVA });
  memory.bytes.fill(MARK);
  await new Edu(neighbour).copyToDevice(IOVA, 8);
  return memory;
}

async function failEachIn(
  situation: Situation,
  memory: DmaMemory,
  { prepare, act, check }: Trial,
): Promise<void> {
  const set = (kernel: Kernel) => Scene.set(kernel, memory, situation);
  const rehearsal = faulty(host.kernel);
  await using scene = await set(rehearsal.kernel);
  const before = holdings();
  await prepare?.(scene);
  const skipped = rehearsal.calls.length;
  await act(scene);
  const calls = rehearsal.calls.slice(skipped).map(callText);
  await scene.space.close();

  for (const [i, call] of calls.entries()) {
    for (const code of situation.codes) {
      const fault = { nth: skipped + i + 1, code };
      await using scene = await set(faulty(host.kernel, fault).kernel);
      try {
        await prepare?.(scene);
        const error = await act(scene).then(() => {}, (error) => error);
        check(error, { call, code }, scene, situation);
        await scene.detach();
        assertEquals(holdings(), before);
        await scene.assertNeighbourWorks();
        await scene.attach();
        await scene.detach();
      } catch (cause) {
        throw new Error(`${call} failed with ${code}`, { cause });
      }
    }
  }
}

function callText({ method, args }: KernelCall): string {
  if (!method.startsWith("ioctl")) return `${method} ${args[0]}`;
  const [, operation, argument] = args as [number, Ioctl, Uint8Array];
  const text = `${method} ${operation.name}`;
  return operation === VFIO_DEVICE_GET_REGION_INFO
    ? `${text} ${vfio_region_info.decode(argument).index}`
    : text;
}

/** How registers that are mapped look whether the device answers. */
const LOOK = new RegExp(
  "^(pread |stat .*/physfn$|ioctl VFIO_DEVICE_GET_REGION_INFO " +
    `${VFIO_PCI_CONFIG_REGION_INDEX}$)`,
);

failEachCall("VfioDevice.attach() leaves nothing behind when any call fails", {
  act: (scene) => scene.attach(),
  check(error, failure, scene, { backend, neighbour }) {
    const { call, code } = failure;
    if (error !== undefined) {
      assertInstanceOf(error, VfioError);
      // The library knows nothing more about these errors.
      if (code !== "EIO" && code !== "EMFILE") return;
      assertInstanceOf(error.cause, KernelError);
      assertEquals([error.code, error.cause.code], ["KERNEL", code]);
    } else if (
      code === "ENOENT" && /^(readFile|readdir|readlink|stat) /.test(call)
    ) {
      // What sysfs lacks counts as absent.
    } else if (LOOK.test(call)) {
      // Where config space cannot be read, mapped registers are closed until the
      // next access, which looks again.
    } else if (backend === "auto") {
      assertMatch(call, /^(open|close) /);
      assertEquals(scene.space.backend?.backend, "legacy");
    } else {
      // A group that the container refuses gets another container.
      assert(neighbour);
      assertEquals(call, "ioctl VFIO_GROUP_SET_CONTAINER");
      assertEquals(code, "EINVAL");
    }
  },
});

failEachCall("VfioDevice.detach() completes when any call fails", {
  prepare: (scene) => scene.attach(),
  act: (scene) => scene.detach(),
  check: (error) => assertEquals(error, undefined),
});

failEachCall("Irq.enable() leaves nothing behind when any call fails", {
  code: "EIO",
  prepare: (scene) => scene.attach(),
  act: (scene) => scene.interrupt(),
  check(error, { call }) {
    // Linux closes a file whatever it answers; for the registers, see above.
    const harmless = LOOK.test(call) || call.startsWith("close");
    if (error !== undefined || !harmless) assertInstanceOf(error, VfioError);
  },
});

/** A system whose calls of some methods can be made to fail. */
function refusing(methods: readonly (keyof Kernel)[]) {
  const state = { refuses: false };
  const kernel = intercept(host.kernel, ({ method }, proceed) => {
    if (!state.refuses || !methods.includes(method)) return proceed();
    throw new KernelError(errnoNumber("ENOMEM"), method);
  });
  return { host: new Host({ kernel }), state };
}

forEachBackend(
  "VfioDevice.detach() completes when the kernel refuses everything but close",
  async (setup) => {
    await setup.take("edu0");
    const before = holdings();
    const { host, state } = refusing(["ioctl", "readFile", "open"]);
    const space = new AddressSpace({ host, backend: setup.backend });
    const device = await VfioDevice.attach(addressOf("edu0"), space);
    device.region(0).map();
    space.allocate(4096);
    state.refuses = true;
    await device.detach();
    await space.close();
    assertEquals(holdings(), before);
    await setup.attach("edu0");
  },
);

forEachBackend(
  "VfioDevice.detach() releases the rest when registers cannot be unmapped",
  async (setup) => {
    await setup.take("edu0");
    const before = holdings();
    const { host, state } = refusing(["munmap"]);
    await using space = new AddressSpace({ host, backend: setup.backend });
    const device = await VfioDevice.attach(addressOf("edu0"), space);
    const registers = device.region(0).map();
    state.refuses = true;
    const error = await refused("DETACH_INCOMPLETE", () => device.detach());
    assertEquals(error.device, addressOf("edu0"));
    await refused("DETACHED", () => registers.read32(0));
    assertEquals(descriptors(), before.descriptors);

    state.refuses = false;
    registers.unmap();
    assertEquals(holdings(), before);
    await setup.attach("edu0");
  },
);

if (machine.backends.includes("legacy")) {
  Deno.test(
    "legacy: AddressSpace.map() maps nowhere when one of two containers refuses",
    async () => {
      await using setup = new Setup("legacy");
      await setup.take("edu0");
      await setup.take("edu1");
      let maps = 0;
      const kernel = intercept(
        oneGroupEach(host.kernel),
        ({ args }, proceed) => {
          if (args[1] === VFIO_IOMMU_MAP_DMA && ++maps === 2) {
            throw new KernelError(errnoNumber("ENOSPC"), "VFIO_IOMMU_MAP_DMA");
          }
          return proceed();
        },
      );
      await using space = new AddressSpace({
        host: new Host({ kernel }),
        backend: "legacy",
      });
      const attach = async (name: string) =>
        new Edu(await VfioDevice.attach(addressOf(name), space));
      const devices = [await attach("edu0"), await attach("edu1")];
      const before = holdings();
      await refused(
        "MAPPING_LIMIT",
        () => space.allocate(4096, { iova: IOVA }),
      );
      assertEquals(holdings(), before);

      // Both containers accept the IOVA, so neither has kept it.
      const memory = space.allocate(4096, { iova: IOVA });
      for (const device of devices) {
        memory.bytes.fill(MARK, 0, 8).fill(0, 8, 16);
        await device.copy(IOVA, IOVA + 8n, 8);
        assertEquals(memory.bytes.slice(8, 16), memory.bytes.slice(0, 8));
      }
    },
  );
}
