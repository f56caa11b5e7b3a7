import {
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { SimulatedHost } from "../../../lib/sim/host.ts";
import { faulty } from "../../kernels/fault.ts";
import { A, DRIVERS, failure, PATH, setUp } from "./take_bench.ts";

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

Deno.test("Host.take() throws DRIVER_FAILED when nothing is bound in the end", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  // this write reports success and binds nothing
  const bind = `${DRIVERS}/vfio-pci/bind`;
  watched.instead.set(bind, () => {});
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() throws PERMISSION_DENIED when the attribute may not be written", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  watched.answers.set(`${PATH}/driver_override`, ["EROFS"]);
  const error = await failure(host.take(A));
  assertEquals(error.code, "PERMISSION_DENIED");
  assertStringIncludes(error.message, "this user may not access");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() throws PERMISSION_DENIED and changes nothing when the user may not write a journal", async () => {
  const { watched } = setUp();
  const before = watched.state(A);
  const host = new SimulatedHost(watched.machine, { uid: 1000 });
  const error = await failure(host.take(A));
  assertEquals(error.code, "PERMISSION_DENIED");
  assertStringIncludes(error.message, "/run/passthru");
  assertEquals(error.hint, "run as root");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() gives the function back when its node does not appear in time", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  watched.hidden.add("/dev/vfio/4");
  const error = await failure(host.take(A, { timeout: 60 }));
  assertEquals(error.code, "TIMED_OUT");
  assertStringIncludes(error.message, "/dev/vfio/4 did not appear in 60 ms");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() throws TIMED_OUT when the driver does not let go, and is undone when it does", async () => {
  const { watched, host } = setUp();
  const before = watched.state(A);
  const { promise, resolve } = Promise.withResolvers<void>();
  watched.hangs.set(`${DRIVERS}/e1000e/unbind`, promise);
  const error = await failure(host.take(A, { timeout: 30 }));
  assertEquals(error.code, "TIMED_OUT");
  assertStringIncludes(error.message, "e1000e/unbind in 30 ms");
  // the next call waits for it, up to its own time limit
  const next = await failure(host.take(A, { timeout: 30 }));
  assertStringIncludes(next.message, "an earlier change");
  assertEquals(watched.state(A).override, "vfio-pci\n");
  watched.hangs.clear();
  resolve();
  await using taken = await host.take(A, { timeout: 5000 });
  assertEquals(taken.previousDriver, "e1000e");
  assertEquals(taken.previousOverride, undefined);
  assertEquals(before.override, "(null)\n");
  await taken.giveBack();
  assertEquals(watched.raw.readdir("/run/passthru"), ["lock"]);
});

Deno.test("Host.take() throws TIMED_OUT and changes nothing when another process is moving the function", async () => {
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
  assertStringIncludes(error.message, "did not finish");
  assertStringIncludes(error.message, "driver_override in 30 ms");
  assertEquals(watched.writes, []);
  qemu.exit();
  await unbind;
  other.writeFile(`${DRIVERS}/vfio-pci/bind`, A);
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() stops and is undone when the signal is aborted", async () => {
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
  // this call waits until everything is undone
  await (await host.take(A)).giveBack();
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() throws DRIVER_FAILED when the driver cannot be unbound", async () => {
  const { watched, host } = setUp({}, {
    drivers: { e1000e: { bindable: false } },
  });
  const before = watched.state(A);
  const error = await failure(host.take(A));
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.message, "e1000e releases no device");
  assertEquals(watched.state(A), before);
});

Deno.test("Host.take() reports both errors when it could not be undone", async () => {
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

Deno.test("Host.take() leaves the function unchanged when any one kernel call fails", async () => {
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
      // the next call succeeds
      await new Host(watched).take(A);
    }
  }
  assertGreater(failed, 10);
});
