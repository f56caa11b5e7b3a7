/**
 * Every kernel call of what an attached device does fails in turn.
 */
import { assertEquals } from "@std/assert";
import { A, B, C, failEachCall, VECTORS } from "./bench.ts";
import { withRegisters } from "./operations.ts";

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
