import { chmod } from "../../kernels/by_path.ts";
import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import type { Host } from "../../../lib/host/host.ts";
import { putFile } from "../../../lib/provision/journal/files.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { readRomFile } from "../../../lib/provision/steps/rom_file.ts";
import { status } from "../../../lib/provision/status.ts";
import type { Step } from "../../../lib/provision/steps/step.ts";
import { O_APPEND, O_RDWR, O_WRONLY } from "../../../lib/uapi/linux/fcntl.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  everyStep,
  HANDOFF,
  journalsOf,
  LIMITS,
  newcomer,
  NIC,
  PHYSICAL,
  ROM,
  stateOf,
  TOPOLOGY,
  UUID,
  VIRTUAL,
} from "../provision_bench.ts";
import { TAKE_DISK, TAKE_NIC, why } from "./take_steps.ts";

Deno.test("restore() keeps and reports what another process has moved, and undoes the rest", async () => {
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
  // the journal keeps the step until it can be undone
  assertEquals((await status(host))[0]?.steps.length, 1);
  other.writeFile("/sys/bus/pci/drivers/pci-stub/unbind", NIC);
  other.writeFile(`${host.function(NIC).path}/driver_override`, "\n");
  assertEquals((await restore(host)).left, []);
  assertAsBefore(machine, before);
});

Deno.test("restore() reports CHANGED, and undoes nothing, when another process has written since", async () => {
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
      ({ kernel }) => chmod(kernel, LIMITS, 0o600),
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
  // a step whose target has its old value is undone already
  await applySteps(host, [attribute]);
  host.kernel.writeFile(path, "auto");
  const { undone } = await restore(host);
  assertEquals(undone, [attribute]);
});

Deno.test("restore() removes no virtual function when another process uses it", async () => {
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

Deno.test("restore() restores one device of several, and those that depend on it", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, everyStep());
  const disk = await restore(host, { devices: ["00:07.0"] });
  assertEquals(disk.undone.map(({ kind }) => kind), [
    "handoff",
    "node",
    "driver",
  ]);
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
  assertEquals((await restore(host)).undone.length, 7);
  assertAsBefore(machine, before);
});

Deno.test("Applied.restore() undoes nothing of a later apply when it was undone before", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const applied = await applySteps(host, [TAKE_DISK]);
  await restore(newcomer(machine));
  await applySteps(newcomer(machine), [TAKE_NIC]);
  assertEquals(await applied.restore(), { undone: [], left: [], damaged: [] });
  assertEquals(host.function(NIC).driver, "vfio-pci");
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

Deno.test("restore() brings back virtual functions with their drivers", async () => {
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

Deno.test("restore() skips a function when it was removed", async () => {
  const machine = bench();
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC]);
  host.kernel.writeFile(`${host.function(NIC).path}/remove`, "1");
  assertEquals(await restore(host), {
    undone: [TAKE_NIC],
    left: [],
    damaged: [],
  });
  assertEquals(journalsOf(machine), []);
});

Deno.test("restore() stops when the signal is aborted, and the next one completes", async () => {
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

Deno.test("restore() ignores an incomplete line at the end of a journal", async () => {
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
  // with a further line after it
  const one = await restore(host, { devices: [NIC] });
  assertEquals(one.undone, [TAKE_NIC]);
  assertEquals((await restore(host)).undone, [TAKE_DISK]);
  assertAsBefore(machine, before);
});

Deno.test("restore() undoes only lasting changes when the host was booted since", async () => {
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
        ...TOPOLOGY.files,
        ...run,
        "/etc/default/grub": host.kernel.readFile("/etc/default/grub"),
        "/proc/sys/kernel/random/boot_id": "another boot\n",
        "/var/lib/passthru/apply-1.jsonl": lasting,
        [LIMITS]: host.kernel.readFile(LIMITS),
        "/etc/hostname": "other\n",
      },
    });
    const now = newcomer(next);
    now.kernel.symlink("hostname", "/etc/alias");
    now.kernel.mkdir("/etc/roms", 0o755);
    now.kernel.mkdir("/etc/cdi", 0o755);
    now.kernel.mkdir("/etc/kernel", 0o755);
    const words = host.kernel.readFile("/etc/kernel/cmdline");
    putFile(now.kernel, "/etc/kernel/cmdline", words, {
      mode: 0o600,
      uid: 0,
      gid: 0,
    });
    const handoff = host.kernel.readFile(HANDOFF);
    putFile(now.kernel, HANDOFF, handoff, { mode: 0o644, uid: 0, gid: 0 });
    putFile(now.kernel, ROM, rom, { mode: 0o644, uid: 0, gid: 0 });
    const [{ name, steps } = { name: "", steps: [] }] = await status(now);
    assertEquals(name, "old");
    assertEquals(steps.map(({ step }) => step.kind), [
      "configuration",
      "rom",
      "file",
      "file",
      "link",
      "handoff",
    ]);
    const { undone, left } = await restore(now);
    assertEquals(left, []);
    assertEquals(undone.length, 6);
    // The directory of the second file was not there before either.
    assertEquals(now.kernel.readdir("/etc"), ["default", "hostname"]);
    assertEquals(
      now.kernel.readFile("/etc/default/grub"),
      'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
    );
    assertEquals(now.kernel.readFile("/etc/hostname"), "host\n");
    assertEquals(journalsOf(next), []);
    // the number is free again, and a new journal does not count as an old one
    await applySteps(now, [TAKE_NIC]);
    assertEquals((await restore(now)).undone, [TAKE_NIC]);
  }
});
