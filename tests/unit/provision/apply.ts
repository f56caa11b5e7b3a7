import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { Host, SimulatedHost } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { putFile } from "../../../lib/provision/files.ts";
import { Journal } from "../../../lib/provision/journal.ts";
import { applySteps, type StepEvent } from "../../../lib/provision/make.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { readRomFile } from "../../../lib/provision/rom_file.ts";
import { status } from "../../../lib/provision/status.ts";
import type { DesiredState } from "../../../lib/provision/state.ts";
import type { Step } from "../../../lib/provision/step.ts";
import { O_APPEND, O_RDWR, O_WRONLY } from "../../../lib/uapi/fcntl.ts";
import { HostFiles } from "../host_files.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  everyStep,
  journalsOf,
  LIMITS,
  Mortal,
  newcomer,
  NIC,
  PHYSICAL,
  ROM,
  stateOf,
  TOPOLOGY,
  UUID,
  VIRTUAL,
} from "../provision_bench.ts";
import { timeLapse } from "../time_lapse.ts";

const why = "a test wants it";
const TAKE_NIC: Step = {
  kind: "driver",
  device: NIC,
  driver: "vfio-pci",
  why,
};
const TAKE_DISK: Step = { ...TAKE_NIC, device: DISK };

/** A state that takes a disk and makes virtual functions. */
const STATE: DesiredState = {
  functions: [
    { select: DISK, driver: "vfio-pci", node: { owner: 1000, mode: "0660" } },
    {
      select: PHYSICAL,
      virtualFunctions: {
        count: 4,
        driver: "vfio-pci",
        overrides: { "3": { driver: "pci-stub" } },
      },
    },
  ],
};

async function refused(
  code: string,
  act: () => Promise<unknown>,
): Promise<VfioError> {
  const error = await assertRejects(act, VfioError);
  assertEquals(error.code, code, error.message);
  return error;
}

Deno.test("apply() makes what the state says, once, and restore() brings back what was", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  const applied = await apply(host, STATE);
  assertEquals(applied.steps.length, 8);
  assertEquals(host.function(DISK).driver, "vfio-pci");
  assertEquals(
    host.function(PHYSICAL).virtualFunctions.map(({ driver }) => driver),
    ["vfio-pci", "vfio-pci", "vfio-pci", "pci-stub"],
  );
  const made = stateOf(machine);
  const again = await apply(host, STATE);
  assertEquals(again.steps, []);
  assertEquals(stateOf(machine), made);
  assertEquals(await again.restore(), { undone: [], left: [] });
  assertEquals(stateOf(machine), made);
  // as another process does
  const { undone, left } = await restore(newcomer(machine));
  assertEquals(undone.length, 8);
  assertEquals(left, []);
  assertAsBefore(machine, before);
  assertEquals(await restore(host), { undone: [], left: [] });
});

Deno.test("apply() is NOT_SUPPORTED and changes nothing when the kernel lets no device sleep", async () => {
  const machine = bench();
  const before = stateOf(machine);
  // CONFIG_PM is not set
  const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
    if (!String(args[0]).endsWith("/power/control")) return proceed();
    throw new KernelError(errnoNumber("ENOENT"), method);
  });
  const state: DesiredState = {
    functions: [{ select: NIC, driver: "vfio-pci", idleD3: false }],
  };
  await refused("NOT_SUPPORTED", () => apply(new Host({ kernel }), state));
  assertAsBefore(machine, before);
});

Deno.test("apply() takes nothing that the host uses when nobody insists", async () => {
  const files = new HostFiles()
    .network(`/sys/devices/pci0000:00/${NIC}/net/eth0`)
    .routes(["eth0", "00000000", "00000000"]);
  // Its process is the first: the files are those that it sees.
  const host = Host.simulated({ ...TOPOLOGY, files: files.all });
  const { machine } = host;
  const before = stateOf(machine);
  const state = {
    functions: [DISK, NIC].map((select) => ({ select, driver: "vfio-pci" })),
  };
  const error = await refused("HOST_IN_USE", () => apply(host, state));
  assertEquals(error.device, NIC);
  assertStringIncludes(error.hint!, `--insist ${NIC}`);
  assertAsBefore(machine, before);
  const applied = await apply(host, state, { insist: [NIC] });
  assertEquals(applied.steps.length, 2);
  await applied.restore();
  assertAsBefore(machine, before);
});

Deno.test("apply() removes no virtual function that somebody has open", async () => {
  using _ = timeLapse();
  const machine = bench();
  const host = newcomer(machine);
  const counted = (count: number): DesiredState => ({
    functions: [{
      select: PHYSICAL,
      virtualFunctions: count === 0 ? { count } : { count, driver: "vfio-pci" },
    }],
  });
  await apply(host, counted(2));
  const { id } = host.function(VIRTUAL[0]!).iommuGroup!;
  const qemu = machine.spawn({ name: "qemu" });
  qemu.open(`/dev/vfio/${id}`, O_RDWR);
  const error = await refused(
    "HOST_IN_USE",
    () => apply(host, counted(0)),
  );
  assertEquals(error.device, VIRTUAL[0]);
  assertStringIncludes(error.message, `is open in qemu (process ${qemu.pid})`);
  assertEquals(host.function(PHYSICAL).virtualFunctions.length, 2);
  qemu.exit();
  await apply(host, counted(0));
  assertEquals(host.function(PHYSICAL).virtualFunctions, []);
});

Deno.test("apply() leaves the boot display alone when no driver has it", async () => {
  const host = Host.simulated({
    functions: { [NIC]: { id: "1234:1111", class: 0x030000 } },
    files: { [`/sys/devices/pci0000:00/${NIC}/boot_vga`]: "1\n" },
  });
  const error = await refused("HOST_IN_USE", () =>
    apply(host, {
      functions: [{ select: NIC, driver: "vfio-pci" }],
    }));
  assertMatch(error.message, /display/);
  assertEquals(host.function(NIC).driver, undefined);
});

Deno.test("applySteps() is undone at the end of an await using block", async () => {
  const machine = bench();
  const before = stateOf(machine);
  {
    await using applied = await applySteps(newcomer(machine), everyStep());
    assertEquals(applied.steps.length, everyStep().length);
    assertEquals(journalsOf(machine).length, 2);
  }
  assertAsBefore(machine, before);
});

Deno.test("applySteps() writes each step to the journal before it is made", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const { steps } = await applySteps(host, everyStep(), {
    onStep({ step, phase }) {
      const written = Journal.applies(host.kernel).flatMap(({ entries }) => [
        ...entries,
      ]).find((entry) =>
        entry !== undefined && JSON.stringify(entry.step) ===
          JSON.stringify(step)
      );
      assertEquals(written?.made, phase === "made");
    },
  });
  assertEquals(steps.length, everyStep().length);
});

Deno.test("applySteps() undoes in reverse, and says so, when a step fails", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const events: StepEvent[] = [];
  const error = await refused("DRIVER_FAILED", () =>
    applySteps(
      newcomer(machine),
      [...everyStep(), { ...TAKE_NIC, driver: "no_such_driver" }],
      { onStep: (event) => events.push(event) },
    ));
  assertEquals(error.device, NIC);
  assertStringIncludes(error.message, "everything that was changed before");
  assertEquals(error.hint, "modprobe no_such_driver");
  assertAsBefore(machine, before);
  const undone = events.filter(({ phase }) => phase === "undone");
  assertEquals(undone.length, everyStep().length + 1);
  // the last first, but for those that go at once
  const kinds = undone.map(({ step: { kind } }) => kind);
  assertEquals(kinds.at(0), "driver");
  assertEquals(kinds.slice(1, 6), [
    "link",
    "file",
    "file",
    "node",
    "mediated device",
  ]);
  assertEquals(kinds.slice(-3), ["virtual functions", "attribute", "rom"]);
});

Deno.test("applySteps() undoes everything when the signal says so", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const reason = new Error("enough");
  const controller = new AbortController();
  const error = await assertRejects(() =>
    applySteps(newcomer(machine), everyStep(), {
      signal: controller.signal,
      onStep({ step, phase }) {
        if (step.kind === "node" && phase === "made") controller.abort(reason);
      },
    })
  );
  assertEquals(error, reason);
  assertAsBefore(machine, before);
});

Deno.test("applySteps() is TIMED_OUT when a driver does not let go, and undone when it does", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = intercept(
    machine.spawn(),
    ({ method, args }, proceed) =>
      method === "writeFileAsync" && String(args[0]).endsWith("nvme/unbind")
        ? promise.then(proceed)
        : proceed(),
  );
  setTimeout(resolve, 150);
  const error = await refused(
    "TIMED_OUT",
    () =>
      applySteps(new Host({ kernel: slow }), [TAKE_NIC, TAKE_DISK], {
        timeout: 50,
      }),
  );
  assertEquals(error.device, DISK);
  assertStringIncludes(error.message, "everything that was changed before");
  assertAsBefore(machine, before);
});

Deno.test("applySteps() makes the moves of functions of different groups eight at a time", async () => {
  const machine = bench({
    functions: {
      [PHYSICAL]: {
        id: "8086:10c9",
        driver: "igb",
        sriov: { total: 32, enabled: 32, id: "8086:10ca", driver: "igbvf" },
      },
    },
  });
  const before = stateOf(machine);
  let writing = 0;
  let most = 0;
  const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
    const [path] = args;
    if (method !== "writeFileAsync" || !String(path).endsWith("/bind")) {
      return proceed();
    }
    most = Math.max(most, ++writing);
    return (proceed() as Promise<void>).finally(() => writing--);
  });
  const host = new Host({ kernel });
  const steps = host.function(PHYSICAL).virtualFunctions.map((
    { address },
  ) => ({ ...TAKE_NIC, device: address } as const));
  const applied = await applySteps(host, steps);
  assertEquals(applied.steps.length, 32);
  assertEquals(most, 8);
  most = 0;
  await applied.restore();
  assertEquals(most, 8);
  assertAsBefore(machine, before);
});

Deno.test("applySteps() moves functions of one group one after the other", async () => {
  const other = "0000:00:08.1";
  const machine = bench({
    functions: {
      [NIC]: { id: "8086:10d3", driver: "e1000e", group: 9 },
      [other]: { id: "8086:10d3", driver: "e1000e", group: 9 },
    },
  });
  const phases: string[] = [];
  await applySteps(newcomer(machine), [
    TAKE_NIC,
    { ...TAKE_NIC, device: other },
  ], { onStep: ({ phase }) => phases.push(phase) });
  assertEquals(phases, ["begun", "made", "begun", "made"]);
});

Deno.test("applySteps() is LOCKED when another process changes the host for longer than it may wait", async () => {
  const machine = bench();
  const first = machine.spawn({ name: "first" });
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = intercept(
    first,
    ({ method, args }, proceed) =>
      method === "writeFileAsync" && String(args[0]).endsWith("nvme/unbind")
        ? promise.then(proceed)
        : proceed(),
  );
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

Deno.test("applySteps() has the lock of a process that was killed", async () => {
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
  assertLess(performance.now() - start, 1000);
  assertEquals(left, []);
  assertEquals(newcomer(machine).function(DISK).driver, "nvme");
  dead.reject(new Error("killed"));
  await assertRejects(() => applying);
});

Deno.test("restore() waits for a write that a killed process has left to its child", async () => {
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

Deno.test("applySteps() is RESTORE_INCOMPLETE when it cannot be undone, and restore() goes on", async () => {
  using _ = timeLapse();
  const machine = bench();
  const before = stateOf(machine);
  let broken = false;
  const kernel = intercept(machine.spawn(), (call, proceed) => {
    const path = String(call.args[0]);
    if (broken && path.endsWith("nvme/bind")) {
      return machine.spawn().writeFileAsync(path, "no such function");
    }
    return proceed();
  });
  const error = await refused("RESTORE_INCOMPLETE", () =>
    applySteps(
      new Host({ kernel }),
      [TAKE_DISK, { ...TAKE_NIC, driver: "no_such_driver" }],
      { onStep: ({ phase }) => void (broken ||= phase === "made") },
    ));
  assertStringIncludes(error.message, "no_such_driver is not loaded");
  assertStringIncludes(error.message, "nvme did not take it");
  assertStringIncludes(error.hint!, "restore");
  assertInstanceOf(error.cause, AggregateError);
  assertEquals(error.cause.errors.length, 2);
  const { undone, left } = await restore(newcomer(machine));
  assertEquals(left, []);
  assertEquals(undone, [TAKE_DISK]);
  assertAsBefore(machine, before);
});

Deno.test("applySteps() is PERMISSION_DENIED and changes nothing when the user is not root", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = new SimulatedHost(machine, { uid: 1000 });
  await refused("PERMISSION_DENIED", () => applySteps(host, [TAKE_NIC]));
  assertAsBefore(machine, before);
});

Deno.test("restore() leaves what somebody else has moved, says so, and goes on", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  const attribute: Step = {
    kind: "attribute",
    device: PHYSICAL,
    path: `/sys/devices/pci0000:01/${PHYSICAL}/power/control`,
    value: "auto",
    why,
  };
  await applySteps(host, [attribute, TAKE_NIC, TAKE_DISK]);
  const other = newcomer(machine).kernel;
  other.writeFile(`${host.function(NIC).path}/driver_override`, "pci-stub");
  other.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", NIC);
  other.writeFile("/sys/bus/pci/drivers/pci-stub/bind", NIC);
  const { undone, left } = await restore(host);
  assertEquals(new Set(undone), new Set([TAKE_DISK, attribute]));
  assertEquals(left.map(({ step }) => step), [TAKE_NIC]);
  assertInstanceOf(left[0]?.error, VfioError);
  assertEquals(left[0].error.code, "WRONG_DRIVER");
  assertEquals(left[0].error.device, NIC);
  assertEquals(host.function(NIC).driver, "pci-stub");
  // the journal keeps it, until it can be undone
  assertEquals((await status(host))[0]?.steps.length, 1);
  other.writeFile("/sys/bus/pci/drivers/pci-stub/unbind", NIC);
  other.writeFile(`${host.function(NIC).path}/driver_override`, "\n");
  assertEquals((await restore(host)).left, []);
  assertAsBefore(machine, before);
});

Deno.test("restore() is CHANGED, and leaves it, when somebody else has written to it", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const path = `/sys/devices/pci0000:00/${NIC}/power/control`;
  const attribute: Step = {
    kind: "attribute",
    device: NIC,
    path,
    value: "on",
    why,
  };
  const changes: [Step, (host: Host) => void][] = [
    [
      { kind: "file", path: LIMITS, text: "ours\n", why },
      ({ kernel }) => kernel.chmod(LIMITS, 0o600),
    ],
    [
      { kind: "link", path: "/etc/alias", target: "hostname", why },
      ({ kernel }) => {
        kernel.unlink("/etc/alias");
        kernel.symlink("theirs", "/etc/alias");
      },
    ],
    [
      { kind: "virtual functions", device: PHYSICAL, count: 2, why },
      ({ kernel }) => {
        const numvfs = `${host.function(PHYSICAL).path}/sriov_numvfs`;
        kernel.writeFile(numvfs, "0");
        kernel.writeFile(numvfs, "3");
      },
    ],
  ];
  for (const [step, change] of changes) {
    await applySteps(host, [step]);
    change(newcomer(machine));
    const { undone, left } = await restore(host);
    assertEquals(undone, [], step.kind);
    assertEquals((left[0]!.error as VfioError).code, "CHANGED", step.kind);
  }
  // what was made and reads as before is back already
  await applySteps(host, [attribute]);
  host.kernel.writeFile(path, "auto");
  const { undone } = await restore(host);
  assertEquals(undone, [attribute]);
});

Deno.test("restore() removes no virtual function that somebody else has now", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const [virtual] = VIRTUAL;
  const steps: Step[] = [
    { kind: "virtual functions", device: PHYSICAL, count: 2, why },
    { ...TAKE_NIC, device: virtual! },
  ];
  await applySteps(host, steps);
  const qemu = machine.spawn({ name: "qemu" });
  const group = host.function(virtual!).iommuGroup!.id;
  const fd = qemu.open(`/dev/vfio/${group}`, O_RDWR);
  const { undone, left } = await restore(host, { timeout: 50 });
  assertEquals(undone, []);
  assertEquals(left.map(({ error }) => (error as VfioError).code), [
    "DEVICE_BUSY",
    "DEVICE_BUSY",
  ]);
  assertMatch(String(left[0]!.error), /open in qemu/);
  assertEquals(host.function(PHYSICAL).virtualFunctions.length, 2);
  qemu.close(fd);
  assertEquals((await restore(host)).left, []);
  assertEquals(host.function(PHYSICAL).virtualFunctions, []);
});

Deno.test("restore() brings back one device of several, and those that depend on it", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, everyStep());
  const disk = await restore(host, { devices: ["00:07.0"] });
  assertEquals(disk.undone.map(({ kind }) => kind), ["node", "driver"]);
  assertEquals(host.function(DISK).driver, "nvme");
  assertEquals(host.function(NIC).driver, undefined);
  const physical = await restore(host, { devices: [PHYSICAL] });
  assertEquals(physical.undone.map(({ kind }) => kind), [
    "driver",
    "driver",
    "vf network",
    "virtual functions",
    "attribute",
  ]);
  const mediated = await restore(host, { devices: [UUID.toUpperCase()] });
  assertEquals(mediated.undone.length, 1);
  assertEquals((await restore(host)).undone.length, 5);
  assertAsBefore(machine, before);
});

Deno.test("restore() undoes the last apply first", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC], { name: "first" });
  const stub: Step = { ...TAKE_NIC, driver: "pci-stub" };
  await applySteps(host, [stub], { name: "second" });
  assertEquals((await status(host)).map(({ name }) => name), [
    "first",
    "second",
  ]);
  const { undone, left } = await restore(host);
  assertEquals(left, []);
  assertEquals(undone, [stub, TAKE_NIC]);
  assertAsBefore(machine, before);
});

Deno.test("restore() brings back virtual functions that were there, as they were", async () => {
  const [first, second] = VIRTUAL;
  const machine = bench({
    ...TOPOLOGY,
    functions: {
      [PHYSICAL]: {
        id: "8086:10c9",
        driver: "igb",
        sriov: { total: 7, enabled: 2, id: "8086:10ca", driver: "igbvf" },
      },
      [first!]: { driver: "vfio-pci", override: "vfio-pci" },
      [second!]: { driver: null, power: "auto" },
    },
    mediatedTypes: {},
  });
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [
    { kind: "virtual functions", device: PHYSICAL, count: 5, why },
  ]);
  assertEquals(host.function(PHYSICAL).virtualFunctions.length, 5);
  assertEquals((await restore(host)).left, []);
  assertAsBefore(machine, before);
});

Deno.test("restore() has nothing to bring back of a function that was removed", async () => {
  const machine = bench();
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC]);
  host.kernel.writeFile(`${host.function(NIC).path}/remove`, "1");
  assertEquals(await restore(host), { undone: [TAKE_NIC], left: [] });
  assertEquals(journalsOf(machine), []);
});

Deno.test("restore() stops when the signal says so, and the next one goes on", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, everyStep());
  const reason = new Error("enough");
  const controller = new AbortController();
  const error = await assertRejects(() =>
    restore(host, {
      signal: controller.signal,
      onUndone: () => controller.abort(reason),
    })
  );
  assertEquals(error, reason);
  assertEquals((await restore(host)).undone.length, everyStep().length - 1);
  assertAsBefore(machine, before);
});

Deno.test("restore() takes a torn line at the end of a journal for none", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC, TAKE_DISK]);
  const fd = host.kernel.open(
    "/run/passthru/apply-1.jsonl",
    O_WRONLY | O_APPEND,
  );
  host.kernel.write(fd, new TextEncoder().encode('{"begin":2,"step":{"ki'));
  host.kernel.close(fd);
  // one more line after it
  const one = await restore(host, { devices: [NIC] });
  assertEquals(one.undone, [TAKE_NIC]);
  assertEquals((await restore(host)).undone, [TAKE_DISK]);
  assertAsBefore(machine, before);
});

Deno.test("restore() undoes only what lasts when the host was booted since", async () => {
  const machine = bench();
  const host = newcomer(machine);
  await applySteps(host, everyStep(), { name: "old" });
  const lasting = host.kernel.readFile("/var/lib/passthru/apply-1.jsonl");
  const passing = host.kernel.readFile("/run/passthru/apply-1.jsonl");
  const rom = readRomFile(host.kernel, ROM)!;
  for (const run of [{}, { "/run/passthru/apply-1.jsonl": passing }]) {
    const next = bench({
      ...TOPOLOGY,
      files: {
        ...run,
        "/proc/sys/kernel/random/boot_id": "another boot\n",
        "/var/lib/passthru/apply-1.jsonl": lasting,
        [LIMITS]: host.kernel.readFile(LIMITS),
        "/etc/hostname": "other\n",
      },
    });
    const now = newcomer(next);
    now.kernel.symlink("hostname", "/etc/alias");
    now.kernel.mkdir("/etc/roms", 0o755);
    putFile(now.kernel, ROM, rom, { mode: 0o644, uid: 0, gid: 0 });
    const [{ name, steps } = { name: "", steps: [] }] = await status(now);
    assertEquals(name, "old");
    assertEquals(steps.map(({ step }) => step.kind), [
      "rom",
      "file",
      "file",
      "link",
    ]);
    const { undone, left } = await restore(now);
    assertEquals(left, []);
    assertEquals(undone.length, 4);
    assertEquals(now.kernel.readdir("/etc"), ["hostname"]);
    assertEquals(now.kernel.readFile("/etc/hostname"), "host\n");
    assertEquals(journalsOf(next), []);
    // the number is free again, and a new journal is no old one
    await applySteps(now, [TAKE_NIC]);
    assertEquals((await restore(now)).undone, [TAKE_NIC]);
  }
});

Deno.test("restore() is NOT_SUPPORTED when a newer version has written the journal", async () => {
  const machine = bench({
    files: { "/run/passthru/apply-1.jsonl": '{"passthru":2}\n' },
  });
  await refused("NOT_SUPPORTED", () => restore(newcomer(machine)));
});

Deno.test("status() tells what is applied, since when, by whom, and whether it holds", async () => {
  const machine = bench();
  const host = newcomer(machine);
  assertEquals(await status(host), []);
  const start = Date.now();
  await applySteps(host, everyStep(), { name: "desk" });
  const [applied, ...more] = await status(host);
  assertEquals(more, []);
  assert(applied !== undefined);
  assertEquals(applied.name, "desk");
  assertLess(Math.abs(applied.since.getTime() - start), 10_000);
  assertEquals(applied.process.name, "passthru");
  assertEquals(
    String(applied.process.pid),
    host.kernel.readlink("/proc/self"),
  );
  assertEquals(applied.steps.map(({ made, holds }) => made && holds), [
    ...everyStep().map(() => true),
  ]);
  host.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", DISK);
  host.kernel.unlink("/etc/alias");
  const [now] = await status(host);
  const gone = now!.steps.filter(({ holds }) => !holds);
  assertEquals(gone.map(({ step: { kind } }) => kind), [
    "driver",
    "node",
    "link",
  ]);
});

Deno.test("status() is PERMISSION_DENIED when the user may not read the journal", async () => {
  const machine = bench();
  await applySteps(newcomer(machine), [TAKE_NIC]);
  const host = new SimulatedHost(machine, { uid: 1000 });
  await refused("PERMISSION_DENIED", () => status(host));
});

Deno.test("status() tells of a step that was begun and not made", async () => {
  const machine = bench();
  const rehearsal = new Mortal(bench());
  await applySteps(rehearsal.host, [TAKE_NIC]);
  const nth = 1 +
    rehearsal.calls.findIndex(({ method, args }) =>
      method === "writeFileAsync" && String(args[0]).endsWith("/bind")
    );
  const { host: killed } = new Mortal(machine, { nth, after: false });
  await assertRejects(() => applySteps(killed, [TAKE_NIC]));
  const host = newcomer(machine);
  const [{ steps } = { steps: [] }] = await status(host);
  assertEquals(steps, [{ step: TAKE_NIC, made: false, holds: false }]);
  assertEquals(
    host.function(NIC).driverOverride,
    "vfio-pci",
  );
});
