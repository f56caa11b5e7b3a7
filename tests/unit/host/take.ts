import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import type { TakeOptions } from "../../../lib/host/take/take.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { SimulatedHost } from "../../../lib/sim/host.ts";
import { A, DRIVERS, failure, PATH, setUp } from "./take_bench.ts";

Deno.test("Host.take() and giveBack() set the override before they unbind", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const taken = await host.take(A);
  assertEquals(taken.device.driver, "vfio-pci");
  assertEquals(host.function(A).driverOverride, "vfio-pci");
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
  // repeated, it does nothing
  await taken.giveBack();
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() changes nothing when the driver has it already", async () => {
  const { watched, host } = setUp({ driver: "vfio-pci" });
  watched.writes.length = 0;
  const taken = await host.take(A);
  assertEquals(taken.previousDriver, "vfio-pci");
  await taken.giveBack();
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() needs no rights when the driver has it already", async () => {
  const { watched } = setUp({ driver: "vfio-pci" });
  const host = new SimulatedHost(watched.machine, { uid: 1000 });
  await using taken = await host.take(A);
  assertEquals(taken.previousDriver, "vfio-pci");
});

Deno.test("Host.take() binds another driver when it is named", async () => {
  const { host } = setUp();
  await using taken = await host.take(`/sys/bus/pci/devices/${A}`, {
    driver: "pci-stub",
  });
  assertEquals(taken.device.driver, "pci-stub");
});

Deno.test("Host.take() throws DRIVER_FAILED and changes nothing when the module is missing", async () => {
  const { watched, host } = setUp();
  const error = await failure(host.take(A, { driver: "mlx5_vfio_pci" }));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(error.hint, "modprobe mlx5_vfio_pci");
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() throws NO_IOMMU_GROUP and changes nothing when the function has no group", async () => {
  const { watched, host } = setUp({}, {
    iommu: "none",
    kernel: { commandLine: "intel_iommu=off" },
  });
  const error = await failure(host.take(A));
  assertEquals(error.code, "NO_IOMMU_GROUP");
  assertStringIncludes(error.message, "intel_iommu=off");
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() needs no group when no-IOMMU mode is on", async () => {
  const { host } = setUp({}, {
    iommu: "none",
    kernel: { unsafeNoIommu: true },
  });
  await using taken = await host.take(A);
  assertEquals(taken.device.iommuGroup?.name, "vfio-noiommu");
});

Deno.test("Host.take() throws DRIVER_FAILED when the function is a bridge", async () => {
  const { watched, host } = setUp({ class: 0x060400 });
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.message, "bridge");
  assertEquals(watched.writes, []);
});

Deno.test("Host.take() throws DRIVER_FAILED when it has virtual functions", async () => {
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

Deno.test("Host.take() throws before any kernel call when the input is bad", async () => {
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

Deno.test("Host.take() tries again when the function is not yet free", async () => {
  const { watched, host } = setUp();
  watched.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EBUSY", "ENODEV"]);
  await using taken = await host.take(A);
  assertEquals(taken.device.driver, "vfio-pci");
  assertEquals(
    watched.writes.filter((line) => line.includes("vfio-pci/bind")).length,
    3,
  );
});

Deno.test("Host.take() throws WRONG_DRIVER when another driver is faster", async () => {
  const { watched, host } = setUp({}, { drivers: { favourite: {} } });
  watched.instead.set(`${DRIVERS}/vfio-pci/bind`, () => {
    watched.raw.writeFile(`${PATH}/driver_override`, "favourite");
    watched.raw.writeFile(`${DRIVERS}/favourite/bind`, A);
  });
  const error = await failure(host.take(A));
  assertEquals(error.code, "WRONG_DRIVER");
  assertStringIncludes(error.message, "favourite bound it meanwhile");
});

Deno.test("Host.take() waits for a node when it appears later", async () => {
  const { watched, host } = setUp();
  watched.hidden.add("/dev/vfio/4");
  setTimeout(() => watched.hidden.clear(), 20);
  const taken = await host.take(A);
  watched.kernel.stat("/dev/vfio/4");
  assertEquals(taken.device.driver, "vfio-pci");
});

Deno.test("Host.take() waits for the other call when it is called twice at once", async () => {
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

Deno.test("Host.take() throws DEVICE_BUSY and changes nothing when another process uses the function through VFIO", async () => {
  for (const driver of ["vfio-pci", "pci-stub"]) {
    const { watched, host } = setUp({ driver: "vfio-pci" });
    const before = watched.state(A);
    watched.writes.length = 0;
    const qemu = watched.process("qemu", ["/dev/vfio/4"]);
    const error = await failure(host.take(A, { driver, timeout: 50 }));
    assertEquals(error.code, "DEVICE_BUSY");
    assertStringIncludes(error.message, "/dev/vfio/4");
    assertStringIncludes(error.message, "is open in qemu (process ");
    assertEquals(watched.writes, []);
    assertEquals(watched.state(A), before);
    qemu.exit();
    await using taken = await host.take(A, { driver });
    assertEquals(taken.device.driver, driver);
  }
});

Deno.test("Host.take() takes a function that vfio-pci has already when this process uses its group", async () => {
  const { watched, host } = setUp({ driver: "vfio-pci" });
  const fd = watched.raw.open("/dev/vfio/4", O_RDWR);
  await using taken = await host.take(A);
  assertEquals(taken.previousDriver, "vfio-pci");
  watched.raw.close(fd);
});
