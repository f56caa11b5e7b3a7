import {
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import { faulty } from "../../kernels/fault.ts";
import type { FunctionTopology } from "../../../lib/sim/machine/topology.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { A, DRIVERS, failure, PATH, setUp } from "./take_bench.ts";

const B = "0000:00:03.1";

for (
  const [name, what] of Object.entries<FunctionTopology>({
    "it had an override": { override: "e1000e" },
    "it was bound against its override": { override: "vfio-pci" },
    "it could be suspended": { power: "auto" },
  })
) {
  Deno.test(`TakenDevice.giveBack() restores everything when ${name}`, async () => {
    const { watched, host } = setUp(what);
    const before = watched.state(A);
    const taken = await host.take(A);
    assertNotEquals(watched.state(A), before);
    await taken.giveBack();
    assertEquals(watched.state(A), before);
  });
}

for (const driver of ["pci-stub", "my_vfio_pci"]) {
  Deno.test(`TakenDevice.giveBack() binds the function to ${driver} when its override was cleared since`, async () => {
    const { watched, host } = setUp({ driver }, { drivers: { [driver]: {} } });
    const before = watched.state(A);
    assertEquals(before.override, "(null)\n");
    const taken = await host.take(A);
    await taken.giveBack();
    assertEquals(watched.state(A), before);
  });
}

Deno.test("TakenDevice.giveBack() leaves the function without a driver when it had none", async () => {
  const { watched, host } = setUp({ driver: null });
  const before = watched.state(A);
  const taken = await host.take(A);
  assertEquals(taken.previousDriver, undefined);
  assertEquals(taken.device.driver, "vfio-pci");
  await taken.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenDevice is given back at the end of an await using block", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  {
    await using taken = await host.take(A);
    assertEquals(taken.device.driver, "vfio-pci");
  }
  assertEquals(watched.state(A), before);
});

Deno.test("TakenDevice.giveBack() throws DEVICE_BUSY at once when this process has the function open", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const taken = await host.take(A);
  watched.writes.length = 0;
  const fd = watched.kernel.open("/dev/vfio/4", O_RDWR);
  const start = performance.now();
  const error = await failure(taken.giveBack());
  assertEquals(performance.now() - start, 0);
  assertEquals(error.code, "DEVICE_BUSY");
  const self = watched.kernel.readlink("/proc/self");
  assertStringIncludes(error.message, `deno (process ${self})`);
  assertStringIncludes(error.hint!, "this process");
  assertEquals(watched.writes, []);
  watched.kernel.close(fd);
  await taken.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenDevice.giveBack() waits when another process has the function open", async () => {
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

Deno.test("TakenDevice.giveBack() names the process that has the group when the driver finds it busy", async () => {
  const { watched, host } = setUp({}, {
    functions: { [B]: { model: "edu", group: 4, driver: "vfio-pci" } },
  });
  const before = watched.state(A);
  const taken = await host.take(A);
  const bind = `${DRIVERS}/e1000e/bind`;
  // opened between the check and the bind
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
  // giveBack() can be repeated
  watched.instead.clear();
  await device?.detach();
  await taken.giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("TakenDevice.giveBack() throws WRONG_DRIVER when another process has bound the function since", async () => {
  const { watched, host } = setUp();
  const taken = await host.take(A);
  watched.raw.writeFile(`${DRIVERS}/vfio-pci/unbind`, A);
  watched.raw.writeFile(`${PATH}/driver_override`, "pci-stub");
  watched.raw.writeFile(`${DRIVERS}/pci-stub/bind`, A);
  const error = await failure(taken.giveBack());
  assertEquals(error.code, "WRONG_DRIVER");
  assertStringIncludes(error.message, "from vfio-pci to pci-stub");
  assertEquals(taken.device.driver, "pci-stub");

  const other = setUp();
  const second = await other.host.take(A);
  other.watched.raw.writeFile(`${PATH}/driver_override`, "pci-stub");
  const changed = await failure(second.giveBack());
  assertEquals(changed.code, "WRONG_DRIVER");
  assertStringIncludes(changed.message, "changed to pci-stub");
  assertEquals(second.device.driver, "vfio-pci");
});

Deno.test("TakenDevice.giveBack() completes when another process has begun it", async () => {
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

Deno.test("TakenDevice.giveBack() throws DEVICE_NOT_FOUND when the function was removed", async () => {
  const { watched, host } = setUp();
  const taken = await host.take(A);
  const removal = watched.raw.writeFileAsync(`${PATH}/remove`, "1");
  await removal;
  assertEquals((await failure(taken.giveBack())).code, "DEVICE_NOT_FOUND");
});

Deno.test("TakenDevice.giveBack() throws DRIVER_FAILED when the driver is unloaded", async () => {
  const { watched, host } = setUp();
  const taken = await host.take(A);
  watched.machine.drivers.delete("pci/e1000e");
  const error = await failure(taken.giveBack());
  assertEquals(error.code, "DRIVER_FAILED");
  assertMatch(error.message, /e1000e .*no longer loaded/);
});

Deno.test("TakenDevice.giveBack() can be repeated when any one kernel call fails", async () => {
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

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`Host.take() has another process release the device by ${backend}, where that does so on request`, async () => {
    const host = simulate({
      functions: { [A]: { id: "8086:10d3", driver: "vfio-pci" } },
    });
    const other = new SimulatedHost(host.machine, { name: "holder" });
    await using space = new AddressSpace({ host: other, backend });
    const device = await VfioDevice.attach(A, space, { detachOnRequest: true });
    const start = performance.now();
    const taken = await host.take(A, { driver: "pci-stub" });
    assertEquals(performance.now() - start < 1000, true);
    assertEquals([device.attached, taken.device.driver], [false, "pci-stub"]);
    // Without that it is refused, as long as the device is open.
    await taken.giveBack();
    const kept = await VfioDevice.attach(A, space);
    const options = { driver: "pci-stub", timeout: 100 };
    const error = await failure(host.take(A, options));
    assertEquals(error.code, "DEVICE_BUSY");
    assertEquals([kept.attached, host.function(A).driver], [true, "vfio-pci"]);
  });
}
