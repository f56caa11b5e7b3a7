/**
 * Every kernel call of an operation fails in turn, in every possible way.
 * Nothing stays open, mapped, locked or claimed. A function has its previous
 * driver or the requested one. The error is one of the library's, and the
 * operation can be repeated.
 */
import "../virtual_time.ts";
import "./device/migration_faults.ts";
import "./faults_no_iommu.ts";
import "./faults_passed.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Kernel, KernelError, VfioDevice, VfioError } from "../../mod.ts";
import { errnoNumber } from "../../lib/kernel/errno.ts";
import { type Failing, faulty, Hang } from "../kernels/fault.ts";
import { intercept, type KernelCall } from "../../lib/kernel/intercept.ts";
import { VFIO_GROUP_SET_CONTAINER } from "../../lib/uapi/vfio/all.ts";
import {
  A,
  B,
  Bench,
  C,
  failEachCall,
  MOVED,
  NUMVFS,
  type Operation,
  OVERRIDDEN,
  PHYSICAL,
  rehearse,
  SPARE,
  textOf,
  UNBOUND,
  VECTORS,
  type Wanted,
  World,
} from "./fault_bench.ts";

/** Maps memory for devices, twice. */
function withMappings({ space }: World): void {
  const memory = space.allocate(8192, { iova: 0x10_0000n });
  space.map(memory, { iova: 0x20_0000n, writable: false });
}

/** Attaches a function, and maps its registers. */
async function withRegisters(world: World, address: string) {
  const device = await world.attach(address);
  return { device, registers: device.region(0).map() };
}

const attach: Operation<void> = {
  backends: ["legacy", "iommufd", "auto"],
  prepare: withMappings,
  act: (world) => world.attach(A),
  // Without iommufd's nodes it chooses the legacy backend.
  otherwise: ({ method }, _, backend) =>
    backend === "auto" && /^(open|readdir|stat|close)$/.test(method),
};

failEachCall("VfioDevice.attach() leaves nothing behind", attach);

failEachCall("VfioDevice.attach() leaves nothing behind of a second device", {
  async prepare(world) {
    withMappings(world);
    await world.attach(B);
  },
  act: (world) => world.attach(A),
  // A group that the container refuses gets another container.
  otherwise: (call, fault) =>
    textOf(call) === "ioctl VFIO_GROUP_SET_CONTAINER" &&
    "code" in fault && fault.code === "EINVAL",
});

/**
 * A system in which each container takes one group only, as with some IOMMUs.
 */
function oneGroupEach(kernel: Kernel): Kernel {
  const full = new Set<unknown>();
  return intercept(kernel, ({ method, args }, proceed) => {
    if (method === "close") full.delete(args[0]);
    if (args[1] !== VFIO_GROUP_SET_CONTAINER) return proceed();
    const [container] = new Int32Array((args[2] as Uint8Array).slice().buffer);
    if (full.has(container)) {
      throw new KernelError(errnoNumber("EINVAL"), "VFIO_GROUP_SET_CONTAINER");
    }
    const result = proceed();
    full.add(container);
    return result;
  });
}

failEachCall(
  "VfioDevice.attach() leaves nothing behind of a second container",
  {
    backends: ["legacy"],
    system: oneGroupEach,
    async prepare(world) {
      withMappings(world);
      await world.attach(B);
    },
    act: (world) => world.attach(A),
  },
);

failEachCall("AddressSpace.map() maps in two containers or in none", {
  backends: ["legacy"],
  system: oneGroupEach,
  async prepare(world) {
    await world.attach(A);
    await world.attach(B);
    return world.space.allocate(4096);
  },
  act: ({ space }, memory) => void space.map(memory, { iova: 0x50_0000n }),
});

failEachCall("AddressSpace.unmap() can be repeated with two containers", {
  backends: ["legacy"],
  system: oneGroupEach,
  async prepare(world) {
    await world.attach(A);
    await world.attach(B);
    withMappings(world);
  },
  act: ({ space }) => space.unmap(0x20_0000n),
  leaves: "part",
});

failEachCall("VfioDevice.attach() does not affect the rest of its group", {
  async prepare(world) {
    withMappings(world);
    await world.attach(C);
  },
  act: (world) => world.attach(B),
});

failEachCall("VfioDevice.detach() completes", {
  async prepare(world) {
    withMappings(world);
    return await withRegisters(world, A);
  },
  act: (_, { device }) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.detach() completes when another device is attached", {
  async prepare(world) {
    withMappings(world);
    await world.attach(B);
    return await withRegisters(world, A);
  },
  act: (_, { device }) => device.detach(),
  leaves: "done",
});

failEachCall("AddressSpace.close() completes", {
  async prepare(world) {
    withMappings(world);
    world.space.allocate(4096);
    await world.attach(B);
    await withRegisters(world, A);
  },
  act: ({ space }) => space.close(),
  leaves: "done",
});

failEachCall("AddressSpace.allocate() leaves nothing behind", {
  prepare: (world) => world.attach(A),
  act: ({ space }) => void space.allocate(4096),
});

failEachCall("AddressSpace.map() leaves nothing behind", {
  async prepare(world) {
    await world.attach(A);
    return world.space.allocate(4096);
  },
  act: ({ space }, memory) => void space.map(memory, { iova: 0x50_0000n }),
});

failEachCall("AddressSpace.unmap() is all or nothing", {
  async prepare(world) {
    await world.attach(A);
    withMappings(world);
  },
  act: ({ space }) => space.unmap(0x20_0000n),
});

failEachCall("AddressSpace.mapFile() leaves nothing behind", {
  async prepare(world) {
    await world.attach(A);
    return world.space.allocate(8192, { memfd: true });
  },
  act: ({ space }, { fd }) => void space.mapFile(fd!, { size: 4096 }),
});

failEachCall("AddressSpace.allocate() of a file leaves nothing behind", {
  prepare: (world) => world.attach(A),
  act: ({ space }) =>
    void space.allocate(4096, { memfd: true, transparentHugePages: true }),
});

failEachCall("AddressSpace.copy() leaves nothing behind", {
  async prepare(world) {
    await world.attach(A);
    const memory = world.space.allocate(4096);
    return world.space.map(memory);
  },
  act: ({ space }, mapping) => void space.copy(mapping),
});

failEachCall("AddressSpace.limits() changes nothing", {
  prepare: (world) => world.attach(A),
  act: ({ space }) => void space.limits(),
});

for (const by of ["devices", "iommu"] as const) {
  failEachCall(`AddressSpace.dirty.start() by ${by} leaves nothing behind`, {
    // The second device's log is started behind the first one's.
    async prepare(world) {
      withMappings(world);
      await world.attach(MOVED);
    },
    act: async ({ space }) => {
      if (space.dirty.by === undefined) await space.dirty.start({ by });
      await space.dirty.stop();
    },
    leaves: "part",
  });
}

failEachCall("AddressSpace.dirty.unmap() is all or nothing", {
  async prepare(world) {
    await world.attach(A);
    const memory = world.space.allocate(4096);
    await world.space.dirty.start();
    return world.space.map(memory);
  },
  act: ({ space }, mapping) => space.dirty.unmap(mapping),
});

failEachCall("AddressSpace.dropAddresses() is all or nothing", {
  backends: ["legacy"],
  async prepare(world) {
    await world.attach(A);
    withMappings(world);
  },
  act: ({ space }) => space.dropAddresses(),
});

failEachCall("AddressSpace.updateAddresses() can be repeated", {
  backends: ["legacy"],
  async prepare(world) {
    await world.attach(A);
    withMappings(world);
    world.space.dropAddresses();
  },
  act: ({ space }) => space.updateAddresses(),
});

failEachCall("DmaMemory.free() can be repeated", {
  async prepare(world) {
    await world.attach(A);
    return world.space.allocate(4096);
  },
  act: (_, memory) => memory.free(),
  leaves: "part",
});

failEachCall("Region.map() leaves nothing behind", {
  prepare: (world) => world.attach(A),
  act: (_, device) => void device.region(0).map(),
});

failEachCall("MappedRegisters.unmap() is all or nothing", {
  prepare: (world) => withRegisters(world, A),
  act: (_, { registers }) => registers.unmap(),
});

failEachCall("VfioDevice.regions() changes nothing", {
  prepare: (world) => world.attach(A),
  act: (_, device) => void device.regions(),
  // EINVAL says that there is no such region.
  otherwise: (_, fault) => "code" in fault && fault.code === "EINVAL",
});

failEachCall("Region.ioeventfd() leaves nothing behind", {
  prepare: (world) => world.attach(A),
  act: (_, device) => void device.bar(0).ioeventfd(0, 1),
});

failEachCall("IoEventFd is ended or goes on", {
  async prepare(world) {
    const device = await world.attach(A);
    return device.bar(0).ioeventfd(0, 1);
  },
  act: (_, ioeventfd) => ioeventfd[Symbol.dispose](),
});

failEachCall("VfioDevice.detach() completes with an ioeventfd", {
  async prepare(world) {
    const device = await world.attach(A);
    device.bar(0).ioeventfd(0, 1);
    return device;
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.setBusMaster() can be repeated", {
  prepare: (world) => world.attach(A),
  act: (_, device) => device.setBusMaster(true),
});

failEachCall("Irq.enable() leaves nothing behind", {
  prepare: (world) => world.attach(VECTORS),
  act: (_, device) => device.irq("msix").enable(4),
});

failEachCall("Irq.resize() is all or nothing", {
  async prepare(world) {
    const irq = (await world.attach(VECTORS)).irq("msix");
    await irq.enable(4);
    await irq.disconnect({ start: 1, count: 1 });
    return irq;
  },
  act: (_, irq) => irq.resize(8),
});

failEachCall("Irq.disable() is all or nothing", {
  async prepare(world) {
    const irq = (await world.attach(VECTORS)).irq("msix");
    await irq.enable(4);
    return irq;
  },
  act: (_, irq) => irq.disable(),
});

failEachCall("IrqVector.next() leaves nothing behind", {
  async prepare(world) {
    const irq = (await world.attach(VECTORS)).irq("msix");
    const [vector] = await irq.enable();
    irq.trigger();
    return vector!;
  },
  act: (_, vector) => vector.next(),
});

failEachCall("VfioDevice.detach() completes when interrupts are enabled", {
  async prepare(world) {
    const device = await world.attach(VECTORS);
    for (const irq of [device.irq("msix"), device.irq("request")]) {
      const [vector] = await irq.enable();
      vector!.listen(() => {});
    }
    return device;
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.attach() leaves nothing behind of a request", {
  prepare: () => {},
  act: ({ space }) =>
    VfioDevice.attach(VECTORS, space, { detachOnRequest: true }),
});

/** Asserts that registers can be accessed after an operation, however it ended. */
async function thenRead(
  { registers }: { readonly registers: { read32(offset: number): number } },
  operation: () => Promise<void>,
): Promise<void> {
  try {
    await operation();
  } finally {
    assertEquals(registers.read32(0), 0x0100_00ed);
  }
}

failEachCall("VfioDevice.reset() opens the registers again", {
  prepare: (world) => withRegisters(world, A),
  act: (_, attached) => thenRead(attached, () => attached.device.reset()),
});

failEachCall("VfioDevice.reset() sets the methods back", {
  prepare: (world) => withRegisters(world, A),
  act: (_, attached) =>
    thenRead(attached, () => attached.device.reset({ method: "pm" })),
  // Its file says that it has no methods, or others.
  isTaken: ({ method, args }, fault) =>
    method === "readFile" && String(args[0]).endsWith("/reset_method") &&
    "code" in fault && ["ENOENT", "ENODEV", "ENOTDIR"].includes(fault.code),
});

failEachCall("HotReset.reset() opens the registers of all devices again", {
  async prepare(world) {
    const first = await withRegisters(world, B);
    first.device.setBusMaster(true);
    return { ...first, other: await withRegisters(world, C) };
  },
  act: (_, attached) =>
    thenRead(
      attached.other,
      () => thenRead(attached, () => attached.device.hotReset.reset()),
    ),
});

failEachCall("HotReset.affected() changes nothing", {
  prepare: (world) => world.attach(B),
  act: (_, device) => void device.hotReset.affected(),
  // A driver's link, or a group's, that is said not to be there.
  otherwise: ({ method }, fault) =>
    /^(readlink|readdir)$/.test(method) && "code" in fault,
});

failEachCall("Writing sriov_numvfs is all or nothing", {
  backends: ["auto"],
  prepare: () => {},
  act: ({ host }) => host.kernel.writeFileAsync(NUMVFS, "2"),
  raw: true,
});

/**
 * Whether a failure looks like a missing driver, or a missing `power/control`.
 */
function isMissing({ method, args }: KernelCall, fault: Failing): boolean {
  if (!("code" in fault)) return false;
  const path = String(args[0]);
  return method === "readlink" && path.endsWith("/driver") &&
      fault.code === "ENOENT" ||
    method === "readFile" && path.endsWith("/power/control") &&
      ["ENOENT", "ENODEV"].includes(fault.code);
}

/** The operation that takes a function. */
function takes(address: string): Operation<void> {
  return {
    backends: ["auto"],
    prepare: () => {},
    async act(world) {
      world.taken = await world.host.take(address);
    },
    isTaken: isMissing,
  };
}

/** The operation that gives a function back. */
function returns(address: string): Operation<void> {
  return {
    backends: ["auto"],
    async prepare(world) {
      world.taken = await world.host.take(address);
    },
    act: (world) => world.taken!.giveBack(),
    isTaken: isMissing,
  };
}

for (
  const [what, address] of [
    ["with a driver", SPARE],
    ["without a driver", UNBOUND],
    ["with an override", OVERRIDDEN],
    ["with vfio-pci already", A],
  ] as const
) {
  failEachCall(`Host.take() of one ${what} is undone`, takes(address));
  if (address === A) continue;
  failEachCall(`giveBack() of one ${what} is undone`, returns(address));
}

failEachCall("Host.take() of a virtual function is undone", {
  backends: ["auto"],
  async prepare({ host }) {
    await host.kernel.writeFileAsync(NUMVFS, "2");
    return host.function(PHYSICAL).virtualFunctions[1]!;
  },
  async act(world, fn) {
    world.taken = await world.host.take(fn);
  },
  isTaken: isMissing,
});

/** The time limit of an operation whose call hangs, in milliseconds. */
const LIMIT = 30;

/** A world in which a call hangs. */
interface Hanging {
  readonly bench: Bench;
  readonly world: World;
  readonly hang: Hang;
}

/** Makes a test in which each call that can hang does so. */
function hangEachCall<T>(
  name: string,
  operation: Operation<T>,
  check: (hanging: Hanging, prepared: T) => Promise<void>,
): void {
  for (const backend of operation.backends ?? ["legacy", "iommufd"]) {
    Deno.test(`${backend}: ${name}`, async () => {
      const { skipped, calls } = await rehearse(operation, backend);
      const able = [...calls.entries()]
        .filter(([_, { method }]) => method.endsWith("Async"));
      assert(able.length > 0, "none of its calls can hang");
      // All cases at once, as they mostly wait.
      await Promise.all(
        able.map(([i, call]) =>
          withHang(operation, backend, skipped + i + 1, check)
            .catch((cause) => {
              throw new Error(`${textOf(call)} hung`, { cause });
            })
        ),
      );
    });
  }
}

async function withHang<T>(
  { prepare }: Operation<T>,
  backend: Wanted,
  nth: number,
  check: (hanging: Hanging, prepared: T) => Promise<void>,
): Promise<void> {
  const bench = new Bench();
  const initial = bench.state();
  const hang = new Hang();
  const world = new World(faulty(bench.process, { nth, hang }).kernel, backend);
  const prepared = await prepare(world);
  await check({ bench, world, hang }, prepared);
  await world.end();
  assertEquals(bench.state(), initial);
}

/** Asserts that an operation ends at its time limit. */
async function assertTimedOut(operation: Promise<unknown>): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(() => operation, VfioError);
  assertEquals(error.code, "TIMED_OUT", error.message);
  assertEquals(performance.now() - start, LIMIT);
}

/** Waits until the library has restored a state. */
async function waitForState(bench: Bench, state: unknown): Promise<void> {
  const end = performance.now() + 2000;
  const wanted = JSON.stringify(state);
  while (JSON.stringify(bench.state()) !== wanted && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(bench.state(), state);
}

for (const address of [SPARE, UNBOUND, OVERRIDDEN]) {
  hangEachCall(
    `Host.take() of ${address} throws TIMED_OUT when a call hangs, and is undone afterwards`,
    takes(address),
    async ({ bench, world, hang }) => {
      const before = bench.state();
      await assertTimedOut(world.host.take(address, { timeout: LIMIT }));
      // The kernel holds the device's lock, so others must wait.
      await assertTimedOut(world.host.take(address, { timeout: LIMIT }));
      hang.release();
      await waitForState(bench, before);
      world.taken = await world.host.take(address);
    },
  );

  hangEachCall(
    `giveBack() of ${address} throws TIMED_OUT when a call hangs, and completes afterwards`,
    returns(address),
    async ({ bench, world, hang }) => {
      await assertTimedOut(world.taken!.giveBack({ timeout: LIMIT }));
      hang.release();
      await waitForState(bench, new Bench().state());
    },
  );
}

hangEachCall(
  "VfioDevice.attach() completes when a hanging call does, and lets others work meanwhile",
  attach,
  async ({ bench, world, hang }) => {
    const attaching = world.attach(A);
    await hang.reached;
    const memory = world.space.allocate(4096, { iova: 0x50_0000n });
    const other = new World(bench.process, "auto");
    await other.attach(B);
    await other.end();
    memory.free();
    hang.release();
    assertEquals((await attaching).config.read16(0), 0x1234);
  },
);

hangEachCall(
  "VfioDevice.attach() leaves nothing behind when the space was closed meanwhile",
  attach,
  async ({ world, hang }) => {
    const attaching = world.attach(A);
    await hang.reached;
    const closing = world.space.close();
    hang.release();
    const error = await assertRejects(() => attaching, VfioError);
    assertEquals(error.code, "DETACHED", error.message);
    await closing;
  },
);

hangEachCall(
  "VfioDevice.detach() completes when a hanging call does",
  {
    async prepare(world) {
      withMappings(world);
      return await withRegisters(world, A);
    },
    act: (_, { device }) => device.detach(),
  },
  async ({ bench, hang }, { device }) => {
    const detaching = device.detach();
    await hang.reached;
    assertEquals(device.attached, false);
    hang.release();
    await detaching;
    assertEquals(bench.state().files, []);
  },
);
