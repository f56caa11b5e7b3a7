/**
 * What the journal has of taken devices, and what `restore` makes of it.
 */
import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { forget, restore, status } from "../../../lib/provision/mod.ts";
import type { SimulatedMachine } from "../../../lib/sim/machine/control.ts";
import { refused } from "../../failures.ts";
import { lettingGoAfter, TAKE_NIC } from "../provision/take_steps.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  journalsOf,
  newcomer,
  NIC,
  stateOf,
} from "../provision_bench.ts";

/** A process that takes devices, and can be killed. */
function script(machine: SimulatedMachine) {
  const process = machine.spawn({ name: "script" });
  return { host: new Host({ kernel: process }), process };
}

Deno.test("Host.take() writes each change to the journal before it is made, and giveBack() removes that", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { kernel } = newcomer(machine);
  const records: unknown[] = [];
  const watched = intercept(
    machine.spawn({ name: "script" }),
    ({ method, args }, proceed) => {
      const isChange = method === "writeFileAsync" &&
        /driver_override$|bind$/.test(String(args[0]));
      if (isChange && records.length === 0) {
        const text = kernel.readFile("/run/passthru/take-1.jsonl");
        records.push(
          ...text.trimEnd().split("\n").map((line) => JSON.parse(line)),
        );
      }
      return proceed();
    },
  );
  const taken = await new Host({ kernel: watched }).take(NIC);
  const [head, begin] = records as Record<string, unknown>[];
  assertEquals([head!.passthru, head!.process], [1, "script"]);
  assertEquals(begin, {
    begin: 0,
    step: {
      kind: "driver",
      device: NIC,
      driver: "vfio-pci",
      why: "e1000e has it",
    },
    before: { driver: "e1000e", powerControl: "auto" },
  });
  assertEquals(journalsOf(machine), ["take-1.jsonl"]);
  await taken.giveBack();
  assertAsBefore(machine, before);
});

Deno.test("restore() leaves a device alone while the process that took it runs, and gives it back after that", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { host, process } = script(machine);
  await host.take(NIC);
  const admin = newcomer(machine);
  const { undone, left } = await restore(admin);
  assertEquals(undone, []);
  const error = left[0]!.error as VfioError;
  assertEquals([error.code, error.device], ["DEVICE_BUSY", NIC]);
  assertEquals(
    error.problem,
    `script (process ${process.pid}) has taken it, and still runs`,
  );
  assertEquals(host.function(NIC).driver, "vfio-pci");
  const own = await restore(host);
  assertEquals(own.left.length, 1);
  process.exit();
  assertEquals((await restore(admin)).left, []);
  assertAsBefore(machine, before);
});

Deno.test("restore() gives back what a later process has with the id of the one that took it", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { host, process } = script(machine);
  await host.take(NIC);
  process.exit();
  const path = "/run/passthru/take-1.jsonl";
  const { kernel } = newcomer(machine);
  const same = machine.spawn({ name: "script" });
  kernel.writeFile(
    path,
    kernel.readFile(path)
      .replace(`"pid":${process.pid}`, `"pid":${same.pid}`),
  );
  assertEquals((await restore(newcomer(machine))).left, []);
  assertAsBefore(machine, before);
});

Deno.test("restore() gives back one taken device of several", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { host, process } = script(machine);
  await Promise.all([host.take(NIC), host.take(DISK)]);
  process.exit();
  const admin = newcomer(machine);
  const { undone } = await restore(admin, { devices: ["00:07.0"] });
  assertEquals(undone.map(({ device }) => device), [DISK]);
  assertEquals(admin.function(NIC).driver, "vfio-pci");
  await restore(admin);
  assertAsBefore(machine, before);
});

Deno.test("status() lists taken devices, and whether their process still has them", async () => {
  const machine = bench();
  const { host, process } = script(machine);
  await host.take(NIC);
  const admin = newcomer(machine);
  const [taken] = await status(admin);
  assertEquals([taken!.id, taken!.name, taken!.held], [
    "take-1",
    undefined,
    true,
  ]);
  assertEquals(taken!.process, { pid: process.pid, name: "script" });
  assertEquals(taken!.steps.map(({ made, holds }) => made && holds), [true]);
  process.exit();
  assertEquals((await status(admin)).map(({ held }) => held), [false]);
});

Deno.test("giveBack() gives a device back, and removes no other journal, when its own was dropped", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { host } = script(machine);
  const first = await host.take(NIC);
  assertEquals(await forget(newcomer(machine), "take-1"), true);
  const second = await script(machine).host.take(DISK);
  assertEquals(journalsOf(machine), ["take-1.jsonl"]);
  await first.giveBack();
  assertEquals(journalsOf(machine), ["take-1.jsonl"]);
  await second.giveBack();
  assertAsBefore(machine, before);
});

Deno.test("Host.take() waits for the lock, and throws LOCKED, when another process takes another device", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = machine.spawn({ name: "first" });
  const slow = new Host({ kernel: lettingGoAfter(first, promise) });
  const taking = slow.take(DISK);
  const { host } = script(machine);
  const error = await refused("LOCKED", () => host.take(NIC, { timeout: 50 }));
  assertStringIncludes(error.message, `first (process ${first.pid})`);
  assertEquals(error.device, NIC);
  assertEquals(host.function(NIC).driver, "e1000e");
  const waiting = host.take(NIC);
  resolve();
  const both = await Promise.all([taking, waiting]);
  assertEquals(journalsOf(machine), ["take-1.jsonl", "take-2.jsonl"]);
  for (const taken of both) await taken.giveBack();
  assertAsBefore(machine, before);
});

Deno.test("Host.take() does not wait when this process takes a slow device meanwhile", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { promise, resolve } = Promise.withResolvers<void>();
  const kernel = lettingGoAfter(machine.spawn(), promise);
  const host = new Host({ kernel });
  const taking = host.take(DISK);
  const nic = await host.take(NIC, { timeout: 50 });
  // The lock is this process's until the last of them is done.
  await refused("LOCKED", () => restore(newcomer(machine), { timeout: 50 }));
  resolve();
  await (await taking).giveBack();
  await nic.giveBack();
  assertAsBefore(machine, before);
});

Deno.test("Host.take() takes the lock itself when an earlier one of this process could not", async () => {
  const machine = bench();
  const { promise, resolve } = Promise.withResolvers<void>();
  const other = lettingGoAfter(machine.spawn({ name: "other" }), promise);
  const applying = applySteps(new Host({ kernel: other }), [{
    ...TAKE_NIC,
    device: DISK,
  }]);
  const { host } = script(machine);
  const impatient = refused("LOCKED", () => host.take(NIC, { timeout: 20 }));
  const patient = host.take(NIC);
  await impatient;
  resolve();
  await applying;
  assertEquals((await patient).driver, "vfio-pci");
});

Deno.test("restore() undoes a take that failed and could not be undone", async () => {
  const machine = bench();
  const before = stateOf(machine);
  let fails = true;
  const kernel = intercept(
    machine.spawn({ name: "script" }),
    ({ method, args }, proceed) => {
      const isBind = method === "writeFileAsync" &&
        /\/(?:vfio-pci|e1000e)\/bind$/.test(String(args[0]));
      if (!isBind || !fails) return proceed();
      const error = new KernelError(errnoNumber("EIO"), "write");
      return Promise.reject(error);
    },
  );
  const host = new Host({ kernel });
  const error = await refused("DRIVER_FAILED", () => host.take(NIC));
  assertMatch(error.message, /neither be changed nor restored/);
  assertMatch(error.hint!, /passthru restore/);
  assertEquals(journalsOf(machine), ["take-1.jsonl"]);
  fails = false;
  assertEquals((await restore(newcomer(machine))).left, []);
  assertAsBefore(machine, before);
});

Deno.test("restore() leaves a device that a dead script took, and a later apply moved, to the later one", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { host, process } = script(machine);
  await host.take(NIC);
  process.exit();
  const admin = newcomer(machine);
  await applySteps(admin, [{ ...TAKE_NIC, driver: null }], { name: "desk" });
  const { left } = await restore(admin, { name: "take" });
  assertEquals(left, []);
  assertEquals(journalsOf(machine), ["apply-2.jsonl", "take-1.jsonl"]);
  const { undone } = await restore(admin);
  assertEquals(undone.length, 2);
  assertAsBefore(machine, before);
});

Deno.test("restore() names the script that took a device after an apply had moved it", async () => {
  const machine = bench();
  const admin = newcomer(machine);
  await applySteps(admin, [{ ...TAKE_NIC, driver: "pci-stub" }], {
    name: "desk",
  });
  const { host, process } = script(machine);
  const taken = await host.take(NIC);
  const { left } = await restore(admin, { name: "desk" });
  const error = left[0]!.error as VfioError;
  assertEquals(error.code, "WRONG_DRIVER");
  assertStringIncludes(
    error.problem,
    `by script (process ${process.pid}), which took it later`,
  );
  await taken.giveBack();
  assertEquals((await restore(admin)).left, []);
  assertEquals(admin.function(NIC).driver, "e1000e");
});

Deno.test("applySteps() with `held` keeps restore() from its changes until its process undoes them or ends", async () => {
  for (const ends of [false, true]) {
    const machine = bench();
    const before = stateOf(machine);
    const { host, process } = script(machine);
    const applied = await applySteps(host, [TAKE_NIC], { held: true });
    const admin = newcomer(machine);
    const { left } = await restore(admin);
    assertMatch(String(left[0]!.error), /script .* has taken it/);
    if (ends) process.exit();
    const { left: rest } = ends
      ? await restore(admin)
      : await applied.restore();
    assertEquals(rest, []);
    assertAsBefore(machine, before);
  }
});

Deno.test("Host.take() throws LOCKED and changes nothing when its journal stays locked", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const kernel = intercept(
    machine.spawn({ name: "script" }),
    ({ method, args }, proceed) => {
      const path = String(args[0]);
      if (method === "flock" && lastOpened.endsWith("take-1.jsonl")) {
        throw new KernelError(errnoNumber("EAGAIN"), "flock");
      }
      if (method === "open") lastOpened = path;
      return proceed();
    },
  );
  let lastOpened = "";
  const error = await refused(
    "LOCKED",
    () => new Host({ kernel }).take(NIC, { timeout: 50 }),
  );
  assertStringIncludes(error.problem, "take-1.jsonl is locked by");
  assertAsBefore(machine, before);
});

Deno.test("giveBack() leaves the journal when the device cannot go back, and removes it when it can", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { host } = script(machine);
  const taken = await host.take(NIC);
  const group = host.function(NIC).iommuGroup!.id;
  const qemu = machine.spawn({ name: "qemu" });
  qemu.open(`/dev/vfio/${group}`, 2);
  await assertRejects(() => taken.giveBack({ timeout: 50 }), VfioError, "qemu");
  assertEquals(journalsOf(machine), ["take-1.jsonl"]);
  assertEquals((await restore(newcomer(machine))).left.length, 1);
  qemu.exit();
  await taken.giveBack();
  assertAsBefore(machine, before);
});
