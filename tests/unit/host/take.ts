import {
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { Host, SimulatedHost } from "../../../lib/host/host.ts";
import type { TakeOptions } from "../../../lib/host/take.ts";
import { faulty } from "../../../lib/kernel/fault.ts";
import type { FunctionTopology, Topology } from "../../../lib/sim/topology.ts";
import { O_RDWR } from "../../../lib/uapi/fcntl.ts";
import { timeLapse } from "../time_lapse.ts";
import { WatchedHost } from "../watched_host.ts";

const A = "0000:00:03.0";
const PATH = `/sys/devices/pci0000:00/${A}`;
const DRIVERS = "/sys/bus/pci/drivers";
const B = "0000:00:03.1";

const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };

/** A host on which e1000e has a function, and vfio-pci is loaded. */
function setUp(
  what: FunctionTopology = {},
  more: Topology = {},
): { watched: WatchedHost; host: Host } {
  const functions = {
    [A]: { ...NIC, group: 4, driver: "e1000e", ...what },
    ...more.functions,
  };
  const drivers = { e1000e: { ids: ["8086:10d3"] }, ...more.drivers };
  const watched = new WatchedHost({ ...more, functions, drivers });
  return { watched, host: watched.host };
}

async function failure(work: Promise<unknown>): Promise<VfioError> {
  const error = await assertRejects(() => work, VfioError);
  assertEquals(error.device, A);
  return error;
}

Deno.test("Host.take() overrides before it unbinds, and giveBack() likewise", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const taken = await host.take(A);
  assertEquals(taken.function.driver, "vfio-pci");
  assertEquals(taken.function.driverOverride, "vfio-pci");
  assertEquals(taken.driver, "vfio-pci");
  assertEquals(taken.previousDriver, "e1000e");
  assertEquals(taken.previousOverride, undefined);
  assertEquals(watched.writes.splice(0), [
    `${PATH}/driver_override: vfio-pci`,
    `${DRIVERS}/e1000e/unbind: ${A}`,
    `${DRIVERS}/vfio-pci/bind: ${A}`,
  ]);
  await taken.giveBack();
  assertEquals(watched.writes.splice(0), [
    `${PATH}/driver_override: `,
    `${DRIVERS}/vfio-pci/unbind: ${A}`,
    `${DRIVERS}/e1000e/bind: ${A}`,
  ]);
  assertEquals(watched.state(A), before);
  // again: nothing
  await taken.giveBack();
  assertEquals(watched.writes, []);
});

for (
  const [name, what] of Object.entries<FunctionTopology>({
    "it had an override": { override: "e1000e" },
    "it was bound against its override": { override: "vfio-pci" },
    "it could be suspended": { power: "auto" },
  })
) {
  Deno.test(`TakenFunction.giveBack() restores everything when ${name}`, async () => {
    const { watched, host } = setUp(what);
    const before = watched.state(A);
    const taken = await host.take(A);
    assertNotEquals(watched.state(A), before);
    await taken.giveBack();
    assertEquals(watched.state(A), before);
  });
}

for (const driver of ["pci-stub", "my_vfio_pci"]) {
  Deno.test(`TakenFunction.giveBack() returns it to ${driver} when its override was cleared since`, async () => {
    const { watched, host } = setUp({ driver }, { drivers: { [driver]: {} } });
    const before = watched.state(A);
    assertEquals(before.override, "(null)\n");
    const taken = await host.take(A);
    await taken.giveBack();
    assertEquals(watched.state(A), before);
  });
}

Deno.test("TakenFunction.giveBack() leaves it to no driver when none had it", async () => {
  const { watched, host } = setUp({ driver: null });
  const before = watched.state(A);
  const taken = await host.take(A);
  assertEquals(taken.previousDriver, undefined);
  assertEquals(taken.function.driver, "vfio-pci");
  await taken.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenFunction goes back at the end of an await using block", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  {
    await using taken = await host.take(A);
    assertEquals(taken.function.driver, "vfio-pci");
  }
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() changes nothing when the driver has it already", async () => {
  const { watched, host } = setUp({ driver: "vfio-pci" });
  watched.writes.length = 0;
  const taken = await host.take(A);
  assertEquals(taken.previousDriver, "vfio-pci");
  await taken.giveBack();
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() takes another driver when it is named", async () => {
  const { host } = setUp();
  await using taken = await host.take(`/sys/bus/pci/devices/${A}`, {
    driver: "pci-stub",
  });
  assertEquals(taken.function.driver, "pci-stub");
});

Deno.test("Host.take() is DRIVER_FAILED and changes nothing when the module is missing", async () => {
  const { watched, host } = setUp();
  const error = await failure(host.take(A, { driver: "mlx5_vfio_pci" }));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(error.hint, "modprobe mlx5_vfio_pci");
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() is NO_IOMMU_GROUP and changes nothing when it has no group", async () => {
  const { watched, host } = setUp({}, {
    iommu: "none",
    kernel: { commandLine: "intel_iommu=off" },
  });
  const error = await failure(host.take(A));
  assertEquals(error.code, "NO_IOMMU_GROUP");
  assertStringIncludes(error.message, "intel_iommu=off");
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() asks for no group when no-IOMMU mode is on", async () => {
  const { host } = setUp({}, {
    iommu: "none",
    kernel: { unsafeNoIommu: true },
  });
  await using taken = await host.take(A);
  assertEquals(taken.function.iommuGroup?.name, "vfio-noiommu");
});

Deno.test("Host.take() is DRIVER_FAILED when the function is a bridge", async () => {
  const { watched, host } = setUp({ class: 0x060400 });
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.message, "bridge");
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() is DRIVER_FAILED when it has virtual functions", async () => {
  const { watched, host } = setUp({
    sriov: { total: 4, enabled: 1, id: "8086:10ca" },
  });
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(
    error.hint,
    `take those, or remove them: echo 0 > ${PATH}/sriov_numvfs`,
  );
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() refuses bad input before it asks the kernel", async () => {
  const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const { watched, host } = setUp({}, {
    mediated: { [uuid]: { parent: A, type: "i915-GVTg" } },
  });
  const takes: [string, TakeOptions, new () => Error][] = [
    ["03", {}, TypeError],
    [`/sys/bus/mdev/devices/${uuid}`, {}, TypeError],
    [A, { driver: "" }, TypeError],
    [A, { driver: "../vfio-pci" }, TypeError],
    [A, { driver: "vfio-pci\n" }, TypeError],
    [A, { driver: 5 as unknown as string }, TypeError],
    [A, { timeout: 0 }, RangeError],
    [A, { timeout: NaN }, RangeError],
    [A, { timeout: 2 ** 31 }, RangeError],
  ];
  for (const [target, options, type] of takes) {
    await assertRejects(() => host.take(target, options), type);
  }
  await assertRejects(() => host.take("00:1f.7"), VfioError, "0000:00:1f.7");
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() gives the function back when the driver refuses it", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  watched.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EINVAL"]);
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(String(error.cause), "EINVAL");
  assertStringIncludes(error.hint!, "dmesg");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() asks again when the function is not yet free", async () => {
  const { watched, host } = setUp();
  watched.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EBUSY", "ENODEV"]);
  await using taken = await host.take(A);
  assertEquals(taken.function.driver, "vfio-pci");
  assertEquals(
    watched.writes.filter((line) => line.includes("vfio-pci/bind")).length,
    3,
  );
});

Deno.test("Host.take() is DRIVER_FAILED when nothing is bound in the end", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  // a write that reports success and binds nothing
  const bind = `${DRIVERS}/vfio-pci/bind`;
  watched.instead.set(bind, () => {});
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() is WRONG_DRIVER when another driver is faster", async () => {
  const { watched, host } = setUp({}, { drivers: { favourite: {} } });
  watched.instead.set(`${DRIVERS}/vfio-pci/bind`, () => {
    watched.raw.writeFile(`${PATH}/driver_override`, "favourite");
    watched.raw.writeFile(`${DRIVERS}/favourite/bind`, A);
  });
  const error = await failure(host.take(A));
  assertEquals(error.code, "WRONG_DRIVER");
  assertStringIncludes(error.message, "favourite took it meanwhile");
});

Deno.test("Host.take() is PERMISSION_DENIED when the attribute may not be written", async () => {
  const { watched } = setUp();
  const before = watched.state(A);
  const host = new SimulatedHost(watched.machine, { uid: 1000 });
  const error = await failure(host.take(A));
  assertEquals(error.code, "PERMISSION_DENIED");
  assertStringIncludes(error.message, `${PATH}/driver_override`);
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() gives back when the node does not appear in time", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  watched.hidden.add("/dev/vfio/4");
  const error = await failure(host.take(A, { timeout: 60 }));
  assertEquals(error.code, "TIMED_OUT");
  assertStringIncludes(error.message, "/dev/vfio/4 did not appear in 60 ms");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() waits for a node that appears later", async () => {
  const { watched, host } = setUp();
  watched.hidden.add("/dev/vfio/4");
  setTimeout(() => watched.hidden.clear(), 20);
  const taken = await host.take(A);
  watched.kernel.stat("/dev/vfio/4");
  assertEquals(taken.function.driver, "vfio-pci");
});

Deno.test("Host.take() is TIMED_OUT when the driver does not let go, and undone when it does", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const { promise, resolve } = Promise.withResolvers<void>();
  watched.hangs.set(`${DRIVERS}/e1000e/unbind`, promise);
  const error = await failure(host.take(A, { timeout: 30 }));
  assertEquals(error.code, "TIMED_OUT");
  assertStringIncludes(error.message, "e1000e/unbind in 30 ms");
  // the next one waits for its turn, and no longer than it was told to
  const next = await failure(host.take(A, { timeout: 30 }));
  assertStringIncludes(next.message, "an earlier change");
  assertEquals(watched.state(A).override, "vfio-pci\n");
  watched.hangs.clear();
  resolve();
  await using taken = await host.take(A, { timeout: 5000 });
  assertEquals(taken.previousDriver, "e1000e");
  assertEquals(taken.previousOverride, undefined);
  assertEquals(before.override, "(null)\n");
});

Deno.test("Host.take() is TIMED_OUT and changes nothing when somebody else moves the function", async () => {
  const { watched } = setUp(
    { driver: "vfio-pci", override: "vfio-pci" },
    { kernel: { release: "6.12" } },
  );
  const before = watched.state(A);
  const qemu = watched.process("qemu", ["/dev/vfio/devices/vfio0"]);
  const other = watched.machine.spawn();
  const unbind = other.writeFileAsync(`${DRIVERS}/vfio-pci/unbind`, A);
  const host = new Host(watched);
  const error = await failure(host.take(A, { timeout: 30 }));
  assertEquals(error.code, "TIMED_OUT");
  assertStringIncludes(error.message, "was not done with");
  assertStringIncludes(error.message, "driver_override in 30 ms");
  assertEquals(watched.writes, []);
  qemu.exit();
  await unbind;
  other.writeFile(`${DRIVERS}/vfio-pci/bind`, A);
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() stops and is undone when the signal says so", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const reason = new Error("enough");
  await assertRejects(
    () => host.take(A, { signal: AbortSignal.abort(reason) }),
    Error,
    "enough",
  );
  assertEquals(watched.writes, []);

  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  watched.hangs.set(`${DRIVERS}/vfio-pci/bind`, promise);
  const taking = host.take(A, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  const error = await assertRejects(() => taking, Error);
  assertEquals(error, reason);
  resolve();
  // its turn comes when everything is undone
  await (await host.take(A)).giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() takes turns when it is called twice at once", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const { promise, resolve } = Promise.withResolvers<void>();
  watched.hangs.set(`${PATH}/driver_override`, promise);
  const both = [host.take(A), new Host(watched).take(A)];
  resolve();
  const [first, second] = await Promise.all(both);
  assertEquals(first?.previousDriver, "e1000e");
  assertEquals(second?.previousDriver, "vfio-pci");
  await second?.giveBack();
  await first?.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenFunction.giveBack() is DEVICE_BUSY at once when this process has it open", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const taken = await host.take(A);
  watched.writes.length = 0;
  const fd = watched.kernel.open("/dev/vfio/4", O_RDWR);
  const start = performance.now();
  const error = await failure(taken.giveBack());
  assertLess(performance.now() - start, 1000);
  assertEquals(error.code, "DEVICE_BUSY");
  const self = watched.kernel.readlink("/proc/self");
  assertStringIncludes(error.message, `deno (process ${self})`);
  assertStringIncludes(error.hint!, "this process");
  assertEquals(watched.writes, []);
  watched.kernel.close(fd);
  await taken.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenFunction.giveBack() waits while another process has it open", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const taken = await host.take(A);
  watched.writes.length = 0;
  const qemu = watched.process("qemu", ["/dev/vfio/devices/vfio0"]);
  const error = await failure(taken.giveBack({ timeout: 30 }));
  assertEquals(error.code, "DEVICE_BUSY");
  assertStringIncludes(error.message, "qemu (process ");
  assertEquals(watched.writes, []);
  setTimeout(() => qemu.exit(), 30);
  await taken.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenFunction.giveBack() names who holds its group when the driver finds it busy", async () => {
  using _ = timeLapse();
  const { watched, host } = setUp({}, {
    functions: { [B]: { model: "edu", group: 4, driver: "vfio-pci" } },
  });
  const before = watched.state(A);
  const taken = await host.take(A);
  const bind = `${DRIVERS}/e1000e/bind`;
  // taken between the look and the bind
  const qemu = new SimulatedHost(watched.machine, { name: "qemu" });
  const space = new AddressSpace({ host: qemu });
  let device: VfioDevice | undefined;
  watched.instead.set(bind, async () => {
    device ??= await VfioDevice.attach(B, space);
    watched.raw.writeFile(bind, A);
  });
  const error = await failure(taken.giveBack({ timeout: 300 }));
  assertEquals(error.code, "DEVICE_BUSY");
  assertStringIncludes(error.message, "qemu (process ");
  assertStringIncludes(String(error.cause), "EBUSY");
  // it is left to be given back once more
  watched.instead.clear();
  await device?.detach();
  await taken.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenFunction.giveBack() is WRONG_DRIVER when somebody moved it since", async () => {
  const { watched, host } = setUp();
  const taken = await host.take(A);
  watched.raw.writeFile(`${DRIVERS}/vfio-pci/unbind`, A);
  watched.raw.writeFile(`${PATH}/driver_override`, "pci-stub");
  watched.raw.writeFile(`${DRIVERS}/pci-stub/bind`, A);
  const error = await failure(taken.giveBack());
  assertEquals(error.code, "WRONG_DRIVER");
  assertStringIncludes(error.message, "from vfio-pci to pci-stub");
  assertEquals(taken.function.driver, "pci-stub");

  const other = setUp();
  const second = await other.host.take(A);
  other.watched.raw.writeFile(`${PATH}/driver_override`, "pci-stub");
  const changed = await failure(second.giveBack());
  assertEquals(changed.code, "WRONG_DRIVER");
  assertStringIncludes(changed.message, "changed to pci-stub");
  assertEquals(second.function.driver, "vfio-pci");
});

Deno.test("TakenFunction.giveBack() finishes what somebody else began", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const unbound = await host.take(A);
  watched.raw.writeFile(`${DRIVERS}/vfio-pci/unbind`, A);
  await unbound.giveBack();
  assertEquals(watched.state(A), before);

  const back = await host.take(A);
  watched.raw.writeFile(`${DRIVERS}/vfio-pci/unbind`, A);
  watched.raw.writeFile(`${PATH}/driver_override`, "\n");
  watched.raw.writeFile(`${DRIVERS}/e1000e/bind`, A);
  watched.writes.length = 0;
  await back.giveBack();
  assertEquals(watched.state(A), before);
  assertEquals(watched.writes, []);
});

Deno.test("TakenFunction.giveBack() is DEVICE_NOT_FOUND when it was removed", async () => {
  const { watched, host } = setUp();
  const taken = await host.take(A);
  const removal = watched.raw.writeFileAsync(`${PATH}/remove`, "1");
  await removal;
  assertEquals((await failure(taken.giveBack())).code, "DEVICE_NOT_FOUND");
});

Deno.test("TakenFunction.giveBack() is DRIVER_FAILED when the driver is gone", async () => {
  const { watched, host } = setUp();
  const taken = await host.take(A);
  watched.machine.drivers.delete("pci/e1000e");
  const error = await failure(taken.giveBack());
  assertEquals(error.code, "DRIVER_FAILED");
  assertMatch(error.message, /e1000e .*no longer loaded/);
});

Deno.test("Host.take() is DRIVER_FAILED when the driver cannot be unbound", async () => {
  const { watched, host } = setUp({}, {
    drivers: { e1000e: { bindable: false } },
  });
  const before = watched.state(A);
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.message, "e1000e lets go of no device");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() says both when it could not be undone", async () => {
  const { watched, host } = setUp();
  watched.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EINVAL"]);
  watched.answers.set(`${DRIVERS}/e1000e/bind`, ["EIO"]);
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.message, "vfio-pci did not take it");
  assertStringIncludes(error.message, "e1000e did not take it");
  assertInstanceOf(error.cause, AggregateError);
  assertEquals(error.cause.errors.length, 2);
});

Deno.test("Host.take() leaves it as it was when any one kernel call fails", async () => {
  let failed = 0;
  for (let nth = 1;; nth++) {
    const { watched } = setUp({ power: "auto" });
    const before = watched.state(A);
    const { kernel, calls } = faulty(watched.kernel, { nth, code: "EIO" });
    try {
      await new Host({ kernel }).take(A);
      if (calls.length < nth) break;
    } catch (error) {
      failed++;
      assertInstanceOf(error, VfioError, `call ${nth}: ${error}`);
      assertEquals(watched.state(A), before, `call ${nth}: ${error}`);
      // the next one succeeds
      await new Host(watched).take(A);
    }
  }
  assertGreater(failed, 10);
});

Deno.test("TakenFunction.giveBack() can be repeated when any one kernel call fails", async () => {
  const { kernel, calls } = faulty(setUp().watched.kernel);
  await new Host({ kernel }).take(A);
  let failed = 0;
  for (let nth = calls.length + 1;; nth++) {
    const { watched } = setUp({ power: "auto" });
    const before = watched.state(A);
    const { kernel, calls } = faulty(watched.kernel, { nth, code: "EIO" });
    const taken = await new Host({ kernel }).take(A);
    try {
      await taken.giveBack();
    } catch (error) {
      failed++;
      assertInstanceOf(error, VfioError, `call ${nth}: ${error}`);
      await taken.giveBack();
    }
    assertEquals(watched.state(A), before, `call ${nth}`);
    if (calls.length < nth) break;
  }
  assertGreater(failed, 10);
});
