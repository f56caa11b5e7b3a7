import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { refused } from "../../failures.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  newcomer,
  NIC,
  stateOf,
} from "../provision_bench.ts";
import { lettingGoAfter, TAKE_DISK, TAKE_NIC } from "./take_steps.ts";

Deno.test("applySteps() throws LOCKED when another process changes the host for longer than the time limit", async () => {
  const machine = bench();
  const first = machine.spawn({ name: "first" });
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = lettingGoAfter(first, promise);
  const applying = applySteps(new Host({ kernel: slow }), [TAKE_DISK]);
  const host = newcomer(machine);
  const error = await refused(
    "LOCKED",
    () => applySteps(host, [TAKE_NIC], { timeout: 50 }),
  );
  assertStringIncludes(error.message, `first (process ${first.pid})`);
  await refused("LOCKED", () => restore(host, { timeout: 50 }));
  assertEquals(host.function(NIC).driver, "e1000e");
  const waiting = applySteps(host, [TAKE_NIC]);
  resolve();
  assertEquals((await applying).steps, [TAKE_DISK]);
  assertEquals((await waiting).steps, [TAKE_NIC]);
});

Deno.test("applySteps() throws LOCKED when it may not read which process changes the host", async () => {
  for (
    const [pattern, named] of [
      [/^\/proc\/\d+\/comm$/, /by process \d+/],
      [/^\/run\/passthru\/lock$/, /by another process/],
    ] as const
  ) {
    const machine = bench();
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = lettingGoAfter(machine.spawn({ name: "first" }), promise);
    const applying = applySteps(new Host({ kernel: slow }), [TAKE_DISK]);
    const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
      if (method !== "readFile" || !pattern.test(String(args[0]))) {
        return proceed();
      }
      throw new KernelError(errnoNumber("EACCES"), "open", String(args[0]));
    });
    const error = await refused(
      "LOCKED",
      () => applySteps(new Host({ kernel }), [TAKE_NIC], { timeout: 50 }),
    );
    assertMatch(error.message, named);
    resolve();
    await applying;
  }
});

Deno.test("applySteps() gets the lock when the process that had it was killed", async () => {
  const machine = bench();
  const first = machine.spawn({ name: "first" });
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const dead = Promise.withResolvers<void>();
  const hung = intercept(first, ({ method, args }, proceed) => {
    if (method !== "writeFileAsync" || !String(args[0]).endsWith("/bind")) {
      return proceed();
    }
    resolve();
    return dead.promise;
  });
  const applying = applySteps(new Host({ kernel: hung }), [TAKE_DISK]);
  await reached;
  first.exit();
  const start = performance.now();
  const { left } = await restore(newcomer(machine));
  assertEquals(performance.now() - start, 0);
  assertEquals(left, []);
  assertEquals(newcomer(machine).function(DISK).driver, "nvme");
  dead.reject(new Error("killed"));
  await assertRejects(() => applying);
});

Deno.test("restore() waits for a write when a killed process has left it to its child", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC]);
  let child: string | undefined = "/sys/bus/pci/drivers/vfio-pci/unbind";
  const kernel = intercept(
    machine.spawn(),
    ({ method, args }, proceed) =>
      method === "readlink" && /^\/proc\/1\/fd\/1$/.test(String(args[0])) &&
        child !== undefined
        ? child
        : proceed(),
  );
  setTimeout(() => {
    host.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", NIC);
    child = undefined;
  }, 30);
  assertEquals((await restore(new Host({ kernel }))).left, []);
  assertEquals(child, undefined);
  assertAsBefore(machine, before);
});
