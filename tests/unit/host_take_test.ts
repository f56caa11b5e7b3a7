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
import { VfioError } from "../../lib/errors.ts";
import { Host } from "../../lib/host/host.ts";
import type { TakeOptions } from "../../lib/host/take.ts";
import { errnoNumber, KernelError } from "../../lib/kernel/errno.ts";
import { faulty } from "../../lib/kernel/fault.ts";
import { type FakeFunction, FakeHost } from "./fake_sysfs.ts";

const A = "0000:00:03.0";
const PATH = `/sys/devices/pci0000:00/${A}`;
const DRIVERS = "/sys/bus/pci/drivers";

/** A host on which e1000e has a function, and vfio-pci is loaded. */
function setUp(what: FakeFunction = {}): { fake: FakeHost; host: Host } {
  const fake = new FakeHost();
  fake.driver("e1000e", A);
  fake.driver("vfio-pci");
  fake.function(A, { group: 4, driver: "e1000e", ...what });
  return { fake, host: new Host(fake) };
}

async function failure(work: Promise<unknown>): Promise<VfioError> {
  const error = await assertRejects(() => work, VfioError);
  assertEquals(error.device, A);
  return error;
}

Deno.test("Host.take() overrides before it unbinds, and giveBack() likewise", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const taken = await host.take(A);
  assertEquals(taken.function.driver, "vfio-pci");
  assertEquals(taken.function.driverOverride, "vfio-pci");
  assertEquals(taken.driver, "vfio-pci");
  assertEquals(taken.previousDriver, "e1000e");
  assertEquals(taken.previousOverride, undefined);
  assertEquals(fake.kernel.writes.splice(0), [
    `${PATH}/driver_override: vfio-pci`,
    `${DRIVERS}/e1000e/unbind: ${A}`,
    `${DRIVERS}/vfio-pci/bind: ${A}`,
    `${PATH}/power/control: auto`,
  ]);
  await taken.giveBack();
  assertEquals(fake.kernel.writes.splice(0), [
    `${PATH}/driver_override: `,
    `${DRIVERS}/vfio-pci/unbind: ${A}`,
    `${PATH}/power/control: on`,
    `${DRIVERS}/e1000e/bind: ${A}`,
  ]);
  assertEquals(fake.state(A), before);
  // again: nothing
  await taken.giveBack();
  assertEquals(fake.kernel.writes, []);
});

for (
  const [name, what] of Object.entries<FakeFunction>({
    "it had an override": { override: "e1000e" },
    "it was bound against its override": { override: "vfio-pci" },
    "it could be suspended": { power: "auto" },
  })
) {
  Deno.test(`TakenFunction.giveBack() restores everything when ${name}`, async () => {
    const { fake, host } = setUp(what);
    const before = fake.state(A);
    const taken = await host.take(A);
    assertNotEquals(fake.state(A), before);
    await taken.giveBack();
    assertEquals(fake.state(A), before);
  });
}

Deno.test("TakenFunction.giveBack() leaves it to no driver when none had it", async () => {
  const fake = new FakeHost();
  fake.driver("e1000e", A);
  fake.driver("vfio-pci");
  fake.function(A, { group: 4 });
  const before = fake.state(A);
  const taken = await new Host(fake).take(A);
  assertEquals(taken.previousDriver, undefined);
  assertEquals(taken.function.driver, "vfio-pci");
  await taken.giveBack();
  assertEquals(fake.state(A), before);
});

Deno.test("TakenFunction goes back at the end of an await using block", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  {
    await using taken = await host.take(A);
    assertEquals(taken.function.driver, "vfio-pci");
  }
  assertEquals(fake.state(A), before);
});

Deno.test("Host.take() changes nothing when the driver has it already", async () => {
  const { fake, host } = setUp({ driver: "vfio-pci" });
  fake.kernel.writes.length = 0;
  const taken = await host.take(A);
  assertEquals(taken.previousDriver, "vfio-pci");
  await taken.giveBack();
  assertEquals(fake.kernel.writes, []);
});

Deno.test("Host.take() takes another driver when it is named", async () => {
  const { fake, host } = setUp();
  fake.driver("pci-stub");
  await using taken = await host.take(`/sys/bus/pci/devices/${A}`, {
    driver: "pci-stub",
  });
  assertEquals(taken.function.driver, "pci-stub");
});

Deno.test("Host.take() is DRIVER_FAILED and changes nothing when the module is missing", async () => {
  const { fake, host } = setUp();
  const error = await failure(host.take(A, { driver: "mlx5_vfio_pci" }));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(error.hint, "modprobe mlx5_vfio_pci");
  assertEquals(fake.kernel.writes, []);
});

Deno.test("Host.take() is NO_IOMMU_GROUP and changes nothing when it has no group", async () => {
  const { fake, host } = setUp({ group: undefined });
  fake.kernel.file("/proc/cmdline", "intel_iommu=off");
  const error = await failure(host.take(A));
  assertEquals(error.code, "NO_IOMMU_GROUP");
  assertStringIncludes(error.message, "intel_iommu=off");
  assertEquals(fake.kernel.writes, []);
});

Deno.test("Host.take() asks for no group when no-IOMMU mode is on", async () => {
  const { fake, host } = setUp({ group: undefined });
  fake.kernel.file(
    "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
    "Y",
  );
  fake.kernel.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EINVAL"]);
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED"); // it got as far as binding
});

Deno.test("Host.take() is DRIVER_FAILED when the function is a bridge", async () => {
  const { fake, host } = setUp({ class: 0x060400 });
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.message, "bridge");
  assertEquals(fake.kernel.writes, []);
});

Deno.test("Host.take() is DRIVER_FAILED when it has virtual functions", async () => {
  const { fake, host } = setUp();
  fake.function("0000:00:10.0", { physfn: A });
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(
    error.hint,
    `take those, or remove them: echo 0 > ${PATH}/sriov_numvfs`,
  );
  assertEquals(fake.kernel.writes, []);
});

Deno.test("Host.take() refuses bad input before it asks the kernel", async () => {
  const { fake, host } = setUp();
  fake.kernel.link("/sys/devices/platform/rtc/subsystem", "../../../bus/rtc");
  const takes: [string, TakeOptions, new () => Error][] = [
    ["03", {}, TypeError],
    ["/sys/devices/platform/rtc", {}, TypeError],
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
  assertEquals(fake.kernel.writes, []);
});

Deno.test("Host.take() gives the function back when the driver refuses it", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  fake.kernel.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EINVAL"]);
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(String(error.cause), "EINVAL");
  assertStringIncludes(error.hint!, "dmesg");
  assertEquals(fake.state(A), before);
});

Deno.test("Host.take() asks again when the function is not yet free", async () => {
  const { fake, host } = setUp();
  fake.kernel.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EBUSY", "ENODEV"]);
  await using taken = await host.take(A);
  assertEquals(taken.function.driver, "vfio-pci");
  assertEquals(
    fake.kernel.writes.filter((line) => line.includes("vfio-pci/bind")).length,
    3,
  );
});

Deno.test("Host.take() is DRIVER_FAILED when nothing is bound in the end", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  // a write that reports success and binds nothing
  const bind = `${DRIVERS}/vfio-pci/bind`;
  fake.kernel.file(bind, "", () => {});
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(fake.state(A), before);
});

Deno.test("Host.take() is WRONG_DRIVER when another driver is faster", async () => {
  const { fake, host } = setUp();
  fake.driver("udev_favourite");
  const bind = `${DRIVERS}/vfio-pci/bind`;
  fake.kernel.file(bind, "", () => {
    fake.kernel.link(`${PATH}/driver`, `../../../bus/pci/drivers/other`);
  });
  const error = await failure(host.take(A));
  assertEquals(error.code, "WRONG_DRIVER");
  assertStringIncludes(error.message, "other took it meanwhile");
});

Deno.test("Host.take() is PERMISSION_DENIED when the attribute may not be written", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  fake.kernel.answers.set(`${PATH}/driver_override`, ["EACCES"]);
  const error = await failure(host.take(A));
  assertEquals(error.code, "PERMISSION_DENIED");
  assertStringIncludes(error.message, `${PATH}/driver_override`);
  assertEquals(fake.state(A), before);
});

Deno.test("Host.take() gives back when the node does not appear in time", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const bind = `${DRIVERS}/vfio-pci/bind`;
  const { kernel } = fake;
  kernel.file(bind, "", () => {
    kernel.link(`${PATH}/driver`, "../../../bus/pci/drivers/vfio-pci");
    kernel.directory("/sys/class/vfio/4");
    kernel.directory(`${PATH}/vfio-dev`);
  });
  const error = await failure(host.take(A, { timeout: 60 }));
  assertEquals(error.code, "TIMED_OUT");
  assertStringIncludes(error.message, "/dev/vfio/4 did not appear in 60 ms");
  assertEquals(fake.state(A).driver, before.driver);
  assertEquals(fake.state(A).override, before.override);
});

Deno.test("Host.take() waits for a node that appears later", async () => {
  const { fake, host } = setUp();
  const { kernel } = fake;
  kernel.file(`${DRIVERS}/vfio-pci/bind`, "", () => {
    kernel.link(`${PATH}/driver`, "../../../bus/pci/drivers/vfio-pci");
    kernel.directory("/sys/class/vfio/4");
    setTimeout(() => kernel.file("/dev/vfio/4", ""), 20);
  });
  const taken = await host.take(A);
  kernel.stat("/dev/vfio/4");
  assertEquals(taken.function.driver, "vfio-pci");
});

Deno.test("Host.take() is TIMED_OUT when the driver does not let go, and undone when it does", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.kernel.hangs.set(`${DRIVERS}/e1000e/unbind`, promise);
  const error = await failure(host.take(A, { timeout: 30 }));
  assertEquals(error.code, "TIMED_OUT");
  assertStringIncludes(error.message, "e1000e/unbind in 30 ms");
  // the next one waits for its turn, and no longer than it was told to
  const next = await failure(host.take(A, { timeout: 30 }));
  assertStringIncludes(next.message, "an earlier change");
  assertEquals(fake.state(A).override, "vfio-pci\n");
  fake.kernel.hangs.clear();
  resolve();
  await using taken = await host.take(A, { timeout: 5000 });
  assertEquals(taken.previousDriver, "e1000e");
  assertEquals(taken.previousOverride, undefined);
  assertEquals(before.override, "(null)\n");
});

Deno.test("Host.take() stops and is undone when the signal says so", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const reason = new Error("enough");
  await assertRejects(
    () => host.take(A, { signal: AbortSignal.abort(reason) }),
    Error,
    "enough",
  );
  assertEquals(fake.kernel.writes, []);

  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.kernel.hangs.set(`${DRIVERS}/vfio-pci/bind`, promise);
  const taking = host.take(A, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  const error = await assertRejects(() => taking, Error);
  assertEquals(error, reason);
  resolve();
  // its turn comes when everything is undone
  await (await host.take(A)).giveBack();
  assertEquals(fake.state(A), before);
});

Deno.test("Host.take() takes turns when it is called twice at once", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.kernel.hangs.set(`${PATH}/driver_override`, promise);
  const both = [host.take(A), new Host(fake).take(A)];
  resolve();
  const [first, second] = await Promise.all(both);
  assertEquals(first?.previousDriver, "e1000e");
  assertEquals(second?.previousDriver, "vfio-pci");
  await second?.giveBack();
  await first?.giveBack();
  assertEquals(fake.state(A), before);
});

Deno.test("TakenFunction.giveBack() is DEVICE_BUSY at once when this process has it open", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const taken = await host.take(A);
  fake.kernel.writes.length = 0;
  fake.process(100, "deno", ["/dev/null", "/dev/vfio/4"]);
  const start = performance.now();
  const error = await failure(taken.giveBack());
  assertLess(performance.now() - start, 1000);
  assertEquals(error.code, "DEVICE_BUSY");
  assertStringIncludes(error.message, "deno (process 100)");
  assertStringIncludes(error.hint!, "this process");
  assertEquals(fake.kernel.writes, []);
  fake.kernel.remove("/proc/100/fd/1");
  await taken.giveBack();
  assertEquals(fake.state(A), before);
});

Deno.test("TakenFunction.giveBack() waits while another process has it open", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const taken = await host.take(A);
  fake.kernel.writes.length = 0;
  fake.process(200, "qemu", ["/dev/vfio/devices/vfio0"]);
  const error = await failure(taken.giveBack({ timeout: 30 }));
  assertEquals(error.code, "DEVICE_BUSY");
  assertStringIncludes(error.message, "qemu (process 200)");
  assertEquals(fake.kernel.writes, []);
  setTimeout(() => fake.kernel.remove("/proc/200"), 30);
  await taken.giveBack();
  assertEquals(fake.state(A), before);
});

Deno.test("TakenFunction.giveBack() names who holds its group when the driver finds it busy", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const taken = await host.take(A);
  const bind = `${DRIVERS}/e1000e/bind`;
  // opened between the look and the bind
  fake.kernel.onWrite.set(bind, () => {
    fake.process(200, "qemu", ["/dev/vfio/4"]);
    throw new KernelError(errnoNumber("EBUSY"), "write", bind);
  });
  const error = await failure(taken.giveBack({ timeout: 300 }));
  assertEquals(error.code, "DEVICE_BUSY");
  assertStringIncludes(error.message, "qemu (process 200)");
  assertStringIncludes(String(error.cause), "EBUSY");
  // it is left to be given back once more
  fake.kernel.onWrite.clear();
  fake.kernel.remove("/proc/200");
  await taken.giveBack();
  assertEquals(fake.state(A), before);
});

Deno.test("TakenFunction.giveBack() is WRONG_DRIVER when somebody moved it since", async () => {
  const { fake, host } = setUp();
  const taken = await host.take(A);
  fake.driver("pci-stub");
  fake.unbind("vfio-pci", A);
  fake.kernel.writeFile(`${PATH}/driver_override`, "pci-stub");
  fake.kernel.writeFile(`${DRIVERS}/pci-stub/bind`, A);
  const error = await failure(taken.giveBack());
  assertEquals(error.code, "WRONG_DRIVER");
  assertStringIncludes(error.message, "from vfio-pci to pci-stub");
  assertEquals(taken.function.driver, "pci-stub");

  const other = setUp();
  const second = await other.host.take(A);
  other.fake.kernel.writeFile(`${PATH}/driver_override`, "pci-stub");
  const changed = await failure(second.giveBack());
  assertEquals(changed.code, "WRONG_DRIVER");
  assertStringIncludes(changed.message, "changed to pci-stub");
  assertEquals(second.function.driver, "vfio-pci");
});

Deno.test("TakenFunction.giveBack() finishes what somebody else began", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  const unbound = await host.take(A);
  fake.unbind("vfio-pci", A);
  await unbound.giveBack();
  assertEquals(fake.state(A), before);

  const back = await host.take(A);
  fake.unbind("vfio-pci", A);
  fake.kernel.writeFile(`${PATH}/driver_override`, "\n");
  fake.kernel.writeFile(`${DRIVERS}/e1000e/bind`, A);
  fake.kernel.writes.length = 0;
  await back.giveBack();
  assertEquals(fake.state(A), before);
  assertEquals(fake.kernel.writes, []);
});

Deno.test("TakenFunction.giveBack() is DEVICE_NOT_FOUND when it was removed", async () => {
  const { fake, host } = setUp();
  const taken = await host.take(A);
  fake.kernel.remove(PATH);
  assertEquals((await failure(taken.giveBack())).code, "DEVICE_NOT_FOUND");
});

Deno.test("TakenFunction.giveBack() is DRIVER_FAILED when the driver is gone", async () => {
  const { fake, host } = setUp();
  const taken = await host.take(A);
  fake.kernel.remove(`${DRIVERS}/e1000e`);
  const error = await failure(taken.giveBack());
  assertEquals(error.code, "DRIVER_FAILED");
  assertMatch(error.message, /e1000e .*no longer loaded/);
});

Deno.test("Host.take() is DRIVER_FAILED when the driver cannot be unbound", async () => {
  const { fake, host } = setUp();
  const before = fake.state(A);
  fake.kernel.remove(`${DRIVERS}/e1000e/unbind`);
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.message, "e1000e lets go of no device");
  assertEquals(fake.state(A), before);
});

Deno.test("Host.take() says both when it could not be undone", async () => {
  const { fake, host } = setUp();
  fake.kernel.answers.set(`${DRIVERS}/vfio-pci/bind`, ["EINVAL"]);
  fake.kernel.answers.set(`${DRIVERS}/e1000e/bind`, ["EIO"]);
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
    const { fake } = setUp({ power: "auto" });
    const before = fake.state(A);
    const { kernel, calls } = faulty(fake.kernel, { nth, code: "EIO" });
    try {
      await new Host({ kernel }).take(A);
      if (calls.length < nth) break;
    } catch (error) {
      failed++;
      assertInstanceOf(error, VfioError, `call ${nth}: ${error}`);
      assertEquals(fake.state(A), before, `call ${nth}: ${error}`);
      // the next one succeeds
      await new Host(fake).take(A);
    }
  }
  assertGreater(failed, 10);
});

Deno.test("TakenFunction.giveBack() can be repeated when any one kernel call fails", async () => {
  const { kernel, calls } = faulty(setUp().fake.kernel);
  await new Host({ kernel }).take(A);
  let failed = 0;
  for (let nth = calls.length + 1;; nth++) {
    const { fake } = setUp({ power: "auto" });
    const before = fake.state(A);
    const { kernel, calls } = faulty(fake.kernel, { nth, code: "EIO" });
    const taken = await new Host({ kernel }).take(A);
    try {
      await taken.giveBack();
    } catch (error) {
      failed++;
      assertInstanceOf(error, VfioError, `call ${nth}: ${error}`);
      await taken.giveBack();
    }
    assertEquals(fake.state(A), before, `call ${nth}`);
    if (calls.length < nth) break;
  }
  assertGreater(failed, 10);
});
