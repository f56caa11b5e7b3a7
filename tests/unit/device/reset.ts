import { assert, assertEquals } from "@std/assert";
import { AddressSpace, Host, VfioDevice } from "../../../mod.ts";
import { Turns } from "../../../lib/device/reset/turns.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import type { Ioctl } from "../../../lib/uapi/ioctl.ts";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../../lib/uapi/pci/regs.ts";
import { failure, refused } from "../../failures.ts";

const A = "0000:01:00.0";
const B = "0000:01:00.1";
const EDU = { model: "edu", driver: "vfio-pci", behind: "0000:00:1c.0" };

/** Two functions behind a port; calls can be answered otherwise. */
function setUp(
  options: {
    readonly functions?: Topology["functions"];
    readonly answer?: (call: KernelCall, proceed: () => unknown) => unknown;
  } = {},
) {
  const {
    functions = { [A]: { ...EDU, group: 1 }, [B]: { ...EDU, group: 2 } },
    answer = (_, proceed) => proceed(),
  } = options;
  const { kernel } = simulate({ functions });
  const host = new Host({ kernel: intercept(kernel, answer) });
  return {
    host,
    space: (backend: "legacy" | "iommufd" = "legacy") =>
      new AddressSpace({ host, backend }),
  };
}

/** Answers an ioctl by an errno, so many times. */
function failing(name: string, code: string, times = Infinity) {
  let left = times;
  return ({ method, args }: KernelCall, proceed: () => unknown) => {
    const isIt = method.startsWith("ioctl") && (args[1] as Ioctl).name === name;
    if (!isIt || left-- <= 0) return proceed();
    const error = new KernelError(errnoNumber(code), name);
    if (method === "ioctl") throw error;
    return Promise.reject(error);
  };
}

Deno.test("HotReset.reset() takes devices of several groups and spaces when they are had by containers", async () => {
  const { space } = setUp();
  await using one = space();
  await using other = space();
  const a = await VfioDevice.attach(A, one);
  const b = await VfioDevice.attach(B, other);
  const registers = b.region(0).map();
  registers.write32(4, 0x1234_5678);
  await a.hotReset.reset();
  assertEquals(registers.read32(4), 0);
});

Deno.test("HotReset.reset() proves with the group of a function of which something else is attached", async () => {
  const elsewhere = "0000:00:03.0";
  const functions = {
    [A]: { ...EDU, group: 1 },
    [B]: { ...EDU, group: 2 },
    [elsewhere]: { model: "edu", driver: "vfio-pci", group: 2 },
  };
  for (const backend of ["legacy", "iommufd"] as const) {
    const { space } = setUp({ functions });
    await using one = space(backend);
    const a = await VfioDevice.attach(A, one);
    await refused("NOT_OWNED", () => a.hotReset.reset());
    await VfioDevice.attach(elsewhere, one);
    await a.hotReset.reset();
  }
});

Deno.test("HotReset.reset() throws NOT_OWNED when another space's iommufd has a device", async () => {
  const { space } = setUp();
  await using one = space("iommufd");
  await using other = space("iommufd");
  const a = await VfioDevice.attach(A, one);
  const b = await VfioDevice.attach(B, other);
  const error = await refused("NOT_OWNED", () => a.hotReset.reset());
  assert(error.message.includes(`${B} is attached to another address space`));
  await b.detach();
  const gone = await refused("NOT_OWNED", () => a.hotReset.reset());
  assert(gone.message.includes(`has not attached ${B}`), gone.message);
  await VfioDevice.attach(B, one);
  await a.hotReset.reset();
});

Deno.test("HotReset.reset() throws NOT_OWNED when one device is had by a container and one by an iommufd", async () => {
  const { space } = setUp();
  await using one = space("legacy");
  await using other = space("iommufd");
  const a = await VfioDevice.attach(A, one);
  const b = await VfioDevice.attach(B, other);
  for (const device of [a, b]) {
    await refused("NOT_OWNED", () => device.hotReset.reset());
  }
});

for (
  const [driver, problem] of [
    [null, "is bound to no driver"],
    ["e1000e", "is bound to e1000e, which is no VFIO driver"],
  ] as const
) {
  Deno.test(`HotReset.affected() names a function that ${problem}`, async () => {
    const functions = {
      [A]: { ...EDU, group: 1 },
      [B]: { id: "8086:10d3", behind: EDU.behind, driver, group: 2 },
    };
    const { space } = setUp({ functions });
    await using one = space();
    const a = await VfioDevice.attach(A, one);
    const [, other] = a.hotReset.affected();
    assertEquals(other!.function.address, B);
    assertEquals(other!.obstacle?.problem, `${B} ${problem}`);
    assertEquals(other!.obstacle?.remedy, `take ${B} too: host.take("${B}")`);
  });
}

Deno.test("HotReset.affected() returns as many functions as there are", async () => {
  const functions = Object.fromEntries(
    Array.from({ length: 20 }, (_, i) => [
      `0000:01:${(i >> 3).toString(16).padStart(2, "0")}.${i & 7}`,
      { ...EDU, group: 1 },
    ]),
  );
  const { space } = setUp({ functions });
  await using one = space("iommufd");
  const a = await VfioDevice.attach(A, one);
  const addresses = a.hotReset.affected()
    .map(({ function: { address } }) => address);
  assertEquals(addresses, Object.keys(functions).sort());
});

for (
  const [code, expected] of [
    ["ENODEV", "NOT_SUPPORTED"],
    ["EPERM", "NOT_OWNED"],
    ["EAGAIN", "DEVICE_BUSY"],
    ["EIO", "KERNEL"],
    ["ENOSPC", "KERNEL"],
  ] as const
) {
  Deno.test(`HotReset.affected() throws ${expected} when the kernel answers ${code}`, async () => {
    const { space } = setUp({
      answer: failing("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", code),
    });
    await using one = space();
    const a = await VfioDevice.attach(A, one);
    failure(expected, () => a.hotReset.affected());
    await refused(expected, () => a.hotReset.reset());
  });
}

for (
  const [code, times, expected] of [
    ["EAGAIN", 3, undefined],
    ["EBUSY", 3, undefined],
    ["EAGAIN", Infinity, "DEVICE_BUSY"],
    ["EINVAL", Infinity, "KERNEL"],
    ["EIO", 1, "KERNEL"],
    ["ENOTTY", 1, "KERNEL"],
  ] as const
) {
  Deno.test(`HotReset.reset() ${expected ? `throws ${expected}` : "is done"} when the kernel answers ${code} ${times} times, and opens the registers`, async () => {
    const { space } = setUp({
      answer: failing("VFIO_DEVICE_PCI_HOT_RESET", code, times),
    });
    await using one = space();
    const a = await VfioDevice.attach(A, one);
    const b = await VfioDevice.attach(B, one);
    const registers = b.region(0).map();
    b.setBusMaster(true);
    const command = b.config.read16(PCI_COMMAND);
    if (expected === undefined) await a.hotReset.reset();
    else await refused(expected, () => a.hotReset.reset());
    assertEquals(registers.read32(0), 0x0100_00ed);
    assertEquals(b.config.read16(PCI_COMMAND), command);
  });
}

for (
  const [backend, call] of [
    ["legacy", "VFIO_GROUP_GET_DEVICE_FD"],
    ["iommufd", "VFIO_DEVICE_BIND_IOMMUFD"],
  ] as const
) {
  Deno.test(`${backend}: VfioDevice.attach() waits while something keeps the device locked, and not forever`, async () => {
    const waiting = setUp({ answer: failing(call, "EAGAIN", 3) });
    await using one = waiting.space(backend);
    await VfioDevice.attach(A, one);
    const locked = setUp({ answer: failing(call, "EAGAIN") });
    await using other = locked.space(backend);
    const error = await refused(
      "DEVICE_BUSY",
      () => VfioDevice.attach(A, other),
    );
    assertEquals(error.device, A);
  });
}

Deno.test("VfioDevice.reset() throws RESTORE_INCOMPLETE when its methods cannot be set back, and says how", async () => {
  let writes = 0;
  const functions = { [A]: { ...EDU, reset: ["flr", "pm"] } };
  const { host, space } = setUp({
    functions,
    answer({ method }, proceed) {
      if (method !== "writeFile" || writes++ === 0) return proceed();
      throw new KernelError(errnoNumber("ENOMEM"), "write");
    },
  });
  await using one = space();
  const a = await VfioDevice.attach(A, one);
  const error = await refused(
    "RESTORE_INCOMPLETE",
    () => a.reset({ method: "pm" }),
  );
  const { path } = host.function(A);
  assertEquals(error.hint, `echo flr pm > ${path}/reset_method`);
});

Deno.test("the registers of a virtual function stay open when PCI_COMMAND_MEMORY is off", async () => {
  const functions = {
    "0000:02:00.0": {
      id: "8086:10c9",
      driver: "igb",
      sriov: { total: 1, id: "8086:10ca", driver: "igbvf", bars: ["16K"] },
    },
  };
  const { host, space } = setUp({ functions });
  const physical = host.function("0000:02:00.0");
  await host.kernel.writeFileAsync(`${physical.path}/sriov_numvfs`, "1");
  await using taken = await host.take(physical.virtualFunctions[0]!);
  await using one = space();
  const device = await VfioDevice.attach(taken.device, one);
  const registers = device.region(0).map();
  const command = device.config.read16(PCI_COMMAND);
  device.config.write16(PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
  assertEquals(registers.read32(0), 0);
});

Deno.test("Turns.take() lets one at a time have it, in order", async () => {
  const turns = new Turns();
  const first = turns.take();
  assert(!(first instanceof Promise));
  const order: number[] = [];
  const others = [1, 2].map(async (i) => {
    using _ = await turns.take();
    order.push(i);
    await Promise.resolve();
    order.push(i);
  });
  await Promise.resolve();
  assertEquals(order, []);
  first[Symbol.dispose]();
  await Promise.all(others);
  assertEquals(order, [1, 1, 2, 2]);
  assert(!(turns.take() instanceof Promise));
});
