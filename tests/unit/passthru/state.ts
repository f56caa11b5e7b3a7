import { persisted } from "../../../lib/provision/boot/persist.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/mod.ts";
import {
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { call, json } from "../passthru_bench.ts";
import { Mortal } from "../provision_bench.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const PF = "0000:03:00.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

const HOST: Topology = {
  functions: {
    [A]: { id: "8086:10d3", class: 0x020000, driver: "e1000e", group: 1 },
    [B]: { id: "1b36:0010", class: 0x010802, driver: "nvme", group: 2 },
    [PF]: {
      id: "8086:10c9",
      driver: "igb",
      sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
    },
  },
  drivers: {
    e1000e: { ids: ["8086:10d3"] },
    nvme: { ids: ["1b36:0010"] },
    igb: { ids: ["8086:10c9"] },
    igbvf: { ids: ["8086:10ca"] },
  },
  mediatedTypes: {
    "/sys/devices/virtual/mtty/mtty": { "mtty-1": { instances: 2 } },
  },
};

/** The state that `restore` must bring back. */
async function stateOf(host: Host): Promise<string> {
  return JSON.stringify(await host.snapshot());
}

Deno.test("passthru bind moves a function to vfio-pci, and unbind brings it back", async () => {
  const host = simulate(HOST);
  const before = await stateOf(host);
  const bound = await call(host, ["bind", "01:00.0"]);
  assertEquals([bound.code, bound.err], [0, ""]);
  assertMatch(bound.out, /^0000:01:00\.0 +driver vfio-pci /);
  assertEquals(host.function(A).driver, "vfio-pci");
  const again = await call(host, ["bind", A]);
  assertEquals([again.code, again.out], [0, "Nothing to do.\n"]);
  const back = await call(host, ["unbind", "01:00.0"]);
  assertEquals(back.code, 0);
  assertEquals(back.out, `undone: ${A}: driver vfio-pci\n`);
  assertEquals(await stateOf(host), before);
  const nothing = await call(host, ["unbind", A]);
  assertEquals([nothing.code, nothing.out], [0, "Nothing to undo.\n"]);
});

Deno.test("passthru bind accepts a driver, and none", async () => {
  const host = simulate(HOST);
  await call(host, ["bind", A, "pci-stub"]);
  assertEquals(host.function(A).driver, "pci-stub");
  await call(host, ["bind", A, "none"]);
  assertEquals(host.function(A).driver, undefined);
  await call(host, ["restore"]);
  assertEquals(host.function(A).driver, "e1000e");
});

Deno.test("passthru bind takes a whole group when it is asked to", async () => {
  const host = simulate({
    functions: {
      [A]: { id: "8086:10d3", driver: "e1000e", group: 1 },
      [B]: { id: "8086:10d3", driver: "e1000e", group: 1 },
    },
  });
  const refused = await call(host, ["bind", A]);
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.err, B);
  const { code } = await call(host, ["bind", A, "--whole-group"]);
  assertEquals(code, 0);
  assertEquals(host.function(B).driver, "vfio-pci");
});

Deno.test("passthru exits with 3 and changes nothing when the host uses the device", async () => {
  const { path } = simulate(HOST).function(B);
  const host = simulate({
    ...HOST,
    functions: {
      ...HOST.functions,
      [B]: { ...HOST.functions![B], class: 0x030000 },
    },
    files: { [`${path}/boot_vga`]: "1\n" },
  });
  const before = await stateOf(host);
  const argv = ["bind", B];
  const { code, err } = await call(host, argv);
  assertEquals(code, 3, err);
  assertStringIncludes(err, `--insist ${B}`);
  assertEquals(await stateOf(host), before);
  assertEquals((await json(host, argv)).error.code, "HOST_IN_USE");
  const insisting = await call(host, [...argv, "--insist", "02:00.0"]);
  assertEquals(insisting.code, 0, insisting.err);
});

Deno.test("passthru vfs creates virtual functions with their driver, and restore removes them", async () => {
  const host = simulate(HOST);
  const { code, err } = await call(host, [
    ...["vfs", "03:00.0", "2", "--driver", "vfio-pci"],
  ]);
  assertEquals([code, err], [0, ""]);
  const made = host.function(PF).virtualFunctions;
  assertEquals(made.map(({ driver }) => driver), ["vfio-pci", "vfio-pci"]);
  assertEquals((await call(host, ["restore", PF])).code, 0);
  assertEquals(host.function(PF).virtualFunctions, []);
});

Deno.test("passthru vfs exits with 2 when the count is not a number", async () => {
  const { code, err } = await call(HOST, ["vfs", PF, "many"]);
  assertEquals(code, 2);
  assertStringIncludes(err, "COUNT is many");
});

Deno.test("passthru mdev lists, creates and removes mediated devices", async () => {
  const host = simulate(HOST);
  const parent = "/sys/devices/virtual/mtty/mtty";
  const shown = await json(host, ["mdev"]);
  assertEquals(shown.devices, []);
  assertEquals(shown.types.length, 1);
  assertEquals([shown.types[0].type, shown.types[0].available], ["mtty-1", 2]);
  const made = await call(host, ["mdev", "create", parent, "mtty-1", UUID]);
  assertEquals([made.code, made.err], [0, ""]);
  const { devices, types } = await json(host, ["mdev"]);
  assertEquals([devices[0].uuid, devices[0].type], [UUID, "mtty-1"]);
  assertEquals(types[0].available, 1);
  assertEquals((await call(host, ["mdev", "remove", UUID])).code, 0);
  assertEquals((await json(host, ["mdev"])).devices, []);
});

Deno.test("passthru mdev remove tells of a device that it has not created", async () => {
  const parent = "/sys/devices/virtual/mtty/mtty";
  const host = simulate({
    ...HOST,
    mediated: { [UUID]: { parent, type: "mtty-1" } },
  });
  const { code, out, err } = await call(host, ["mdev", "remove", UUID]);
  assertEquals([code, out], [0, "Nothing to undo.\n"]);
  assertEquals(
    err,
    `${UUID} is there still: somebody else has created it\n` +
      `hint: echo 1 > /sys/bus/mdev/devices/${UUID}/remove\n`,
  );
  await host.kernel.writeFileAsync(
    `/sys/bus/mdev/devices/${UUID}/remove`,
    "1",
  );
  assertEquals((await call(host, ["mdev", "remove", UUID])).err, "");
});

Deno.test("passthru mdev exits with 2 when it is called wrongly", async () => {
  assertEquals((await call(HOST, ["mdev", "create", A])).code, 2);
  assertEquals((await call(HOST, ["mdev", "remove"])).code, 2);
  assertEquals((await call(HOST, ["mdev", "make"])).code, 2);
});

const STATE = { functions: [{ select: A, driver: "vfio-pci" }] };
const FILES = {
  "state.json": JSON.stringify(STATE),
  "state.yaml": `functions:\n  - select: "${A}"\n    driver: vfio-pci\n`,
  "-": JSON.stringify(STATE),
};

for (const path of ["state.json", "state.yaml", "-"]) {
  Deno.test(`passthru apply applies the state of ${path}, and restore undoes it`, async () => {
    const host = simulate(HOST);
    const before = await stateOf(host);
    const surroundings = { files: FILES };
    const planned = await call(host, ["plan", path], surroundings);
    assertEquals(planned.code, 0);
    const dry = await call(host, ["apply", path, "--dry-run"], surroundings);
    assertEquals(dry, planned);
    assertEquals(await stateOf(host), before);
    const { out, code } = await call(host, ["apply", path], surroundings);
    assertEquals(
      [code, out],
      [0, planned.out.replace("1 step", "Applied: 1 step")],
    );
    assertEquals(host.function(A).driver, "vfio-pci");
    const again = await call(host, ["apply", path], surroundings);
    assertEquals([again.code, again.out], [0, "Nothing to do.\n"]);
    assertEquals((await call(host, ["restore"])).code, 0);
    assertEquals(await stateOf(host), before);
  });
}

Deno.test("passthru plan and apply write steps in their documented shape when they write JSON", async () => {
  const host = simulate(HOST);
  const files = FILES;
  const planned = await json(host, ["plan", "state.json"], { files });
  assertEquals(planned.version, 1);
  const [{ kind, device, driver, why }] = planned.steps;
  assertEquals([kind, device, driver], ["driver", A, "vfio-pci"]);
  assertNotEquals(why, "");
  const done = await json(host, ["apply", "state.json"], { files });
  assertEquals(done, planned);
  const { applied: [applied] } = await json(host, ["status"]);
  assertEquals(applied.name, "passthru apply state.json");
  assertEquals(applied.steps[0].step, planned.steps[0]);
  assertEquals([applied.steps[0].made, applied.steps[0].holds], [true, true]);
  const { undone, left } = await json(host, ["restore"]);
  assertEquals([undone, left], [planned.steps, []]);
  assertEquals(await json(host, ["status"]), { applied: [], atBoot: [] });
});

Deno.test("passthru plan exits with 2 and names the place when a file is not a state", async () => {
  const files = {
    "a.json": "{",
    "b.json": '{"functions":[{"select":"01:00.0","drivr":"x"}]}',
  };
  for (
    const [path, message] of [
      ["a.json", "a.json: "],
      ["b.json", "b.json: functions[0].drivr"],
    ] as const
  ) {
    const { code, err } = await call(HOST, ["plan", path], { files });
    assertEquals(code, 2);
    assertStringIncludes(err, message);
  }
});

Deno.test("passthru restore exits with 1 and names what is left when a device was changed since", async () => {
  const host = simulate(HOST);
  await call(host, ["bind", A]);
  host.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", A);
  host.kernel.writeFile(
    `/sys/bus/pci/devices/${A}/driver_override`,
    "pci-stub",
  );
  host.kernel.writeFile("/sys/bus/pci/drivers/pci-stub/bind", A);
  const shown = await json(host, ["restore"]);
  assertEquals(shown.undone, []);
  assertEquals(shown.left[0].error.device, A);
  const { code, err } = await call(host, ["restore"]);
  assertEquals(code, 1);
  assertStringIncludes(err, `not undone: ${A}: driver vfio-pci`);
});

Deno.test("passthru status says which steps hold and which were changed since", async () => {
  const host = simulate(HOST);
  assertEquals((await call(host, ["status"])).out, "Nothing is applied.\n");
  await call(host, ["bind", A]);
  const { out } = await call(host, ["status"]);
  assertMatch(out, /^passthru bind 0000:01:00\.0 vfio-pci since 20\d\d-/);
  assertStringIncludes(out, `\n  holds  ${A}: driver vfio-pci\n`);
  host.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", A);
  assertStringIncludes((await call(host, ["status"])).out, "changed since");
});

Deno.test("passthru status and restore know what a script has taken, and whether it still runs", async () => {
  const host = simulate(HOST);
  const script = host.machine.spawn({ name: "script" });
  await new Host({ kernel: script }).take(A);
  const { out } = await call(host, ["status"]);
  assertMatch(out, /^taken since .*, by script \(\d+\), which still runs\n/);
  assertStringIncludes(out, `\n  holds  ${A}: driver vfio-pci\n`);
  const early = await call(host, ["restore"]);
  assertEquals([early.code, early.out], [1, ""]);
  assertStringIncludes(
    early.err,
    `${A}: script (process ${script.pid}) has taken it, and still runs`,
  );
  script.exit();
  const { applied: [taken] } = await json(host, ["status"]);
  assertEquals([taken.id, taken.name, taken.held], ["take-1", null, false]);
  const { code, out: shown } = await call(host, ["restore"]);
  assertEquals([code, shown], [0, `undone: ${A}: driver vfio-pci\n`]);
  assertEquals((await call(host, ["restore", "--forget", "take-1"])).code, 2);
});

Deno.test("passthru restore leaves the functions of attach alone while that runs", async () => {
  const host = simulate(HOST);
  const before = await stateOf(host);
  const controller = new AbortController();
  let shown = () => {};
  const attached = new Promise<void>((resolve) => shown = resolve);
  const attaching = call(host, ["attach", A], {
    signal: controller.signal,
    written: shown,
  });
  await attached;
  const other = new SimulatedHost(host.machine, { name: "other" });
  const { code, err } = await call(other, ["restore"]);
  assertEquals(code, 1);
  assertStringIncludes(err, "has taken it, and still runs");
  controller.abort();
  assertEquals((await attaching).code, 0);
  assertEquals(await stateOf(host), before);
});

Deno.test("passthru apply exits with 130 and undoes everything when it is interrupted", async () => {
  const host = simulate(HOST);
  const before = await stateOf(host);
  const state = {
    functions: [A, B].map((select) => ({ select, driver: "vfio-pci" })),
  };
  const controller = new AbortController();
  controller.abort();
  const { code, err } = await call(host, ["apply", "s.json"], {
    files: { "s.json": JSON.stringify(state) },
    signal: controller.signal,
  });
  assertEquals(code, 130, err);
  assertStringIncludes(err, "interrupted");
  assertEquals(await stateOf(host), before);
});

Deno.test("passthru exits with 2 when a time limit is malformed", async () => {
  for (const text of ["0", "x", "-1", "1e9"]) {
    const { code } = await call(HOST, ["bind", A, `--timeout=${text}`]);
    assertEquals(code, 2, text);
  }
  assertEquals((await call(HOST, ["bind", A, "--timeout", "5"])).code, 0);
});

Deno.test("passthru doctor exits with 4 when the host is not fit, and 0 when it is", async () => {
  const fit = await call(HOST, ["doctor"]);
  assertEquals(fit.code, 0, fit.out);
  const without = {
    functions: { [A]: { id: "8086:10d3" } },
    iommu: "none",
  } as const;
  const { code, out } = await call(without, ["doctor"], {
    width: 80,
    colour: true,
  });
  assertEquals(code, 4);
  assertStringIncludes(out, "\x1b[31mfail\x1b[39m  iommu");
  const shown = await json(without, ["doctor", A]);
  assertEquals([shown.fit, shown.functions], [false, [A]]);
  assertEquals(Object.keys(shown.findings[0]), [
    "check",
    "verdict",
    "device",
    "text",
    "remedy",
  ]);
  assertEquals((await call(HOST, ["doctor", "--memory", "x"])).code, 2);
});

Deno.test("passthru attach prints the layout, holds the device until Ctrl-C, and gives it back", async () => {
  const host = simulate(HOST);
  const before = await stateOf(host);
  const controller = new AbortController();
  let held: string | undefined;
  const { code, out } = await call(host, ["attach", A], {
    signal: controller.signal,
    written() {
      // After a while the device is still held; then the command is
      // interrupted.
      setTimeout(() => {
        held = host.function(A).driver;
        controller.abort();
      }, 20);
    },
  });
  assertEquals([code, held], [0, "vfio-pci"]);
  assertMatch(out, /^0000:01:00\.0 +vfio-pci, by iommufd: /);
  assertMatch(out, /^ {2}config +4 KiB +rw/m);
  assertMatch(out, /^DMA\n {2}0x0 to 0x/m);
  assertEquals(await stateOf(host), before);
});

Deno.test("passthru restore gives devices back when passthru attach was killed", async () => {
  const argv = ["attach", A, "--no-hold"];
  const complete = new Mortal(simulate(HOST).machine);
  let held = 0;
  const written = () => held = complete.calls.length;
  assertEquals((await call(complete.host, argv, { written })).code, 0);

  const host = simulate(HOST);
  const before = await stateOf(host);
  const killed = new Mortal(host.machine, { nth: held, after: true });
  assertEquals((await call(killed.host, argv)).code, 1);
  assertEquals(host.function(A).driver, "vfio-pci");
  const { applied } = await json(host, ["status"]);
  assertEquals(applied[0].name, "passthru attach");
  assertEquals((await call(host, ["restore"])).code, 0);
  assertEquals(await stateOf(host), before);
});

Deno.test("passthru attach accepts several functions and a backend", async () => {
  const shown = await json(HOST, [
    ...["attach", A, B, "--backend", "legacy", "--no-hold"],
  ]);
  assertEquals(shown.backend, "legacy");
  assertEquals(
    shown.devices.map(({ address }: { address: string }) => address),
    [A, B],
  );
});

Deno.test("passthru reset resets by a method when it is named, and restores the order", async () => {
  const host = simulate({
    functions: { [A]: { id: "8086:10d3", reset: ["flr", "bus"] } },
  });
  assertEquals(await json(host, ["reset", A]), { address: A, method: "flr" });
  const { code, out } = await call(host, ["reset", A, "--method", "bus"]);
  assertEquals([code, out], [0, `${A} was reset by bus\n`]);
  assertEquals(host.function(A).resetMethods, ["flr", "bus"]);
});

Deno.test("passthru reset --hot resets the bus, and gives the functions back", async () => {
  const behind = "0000:00:1c.0";
  const host = simulate({
    functions: {
      [A]: { model: "edu", behind, group: 1 },
      [B]: { id: "8086:10d3", driver: "e1000e", behind, group: 1 },
    },
  });
  assertEquals((await json(host, ["show", A])).hotReset, [A, B]);
  assertEquals(await json(host, ["reset", A, "--hot"]), {
    address: A,
    hot: [A, B],
  });
  assertEquals(host.function(B).driver, "e1000e");
  const { out } = await call(host, ["reset", B, "--hot"]);
  assertEquals(out, `the bus of ${B} was reset: ${A}, ${B}\n`);
  const both = await call(host, ["reset", B, "--hot", "--method", "pm"]);
  assertEquals(both.code, 2);
});

Deno.test("passthru reset --hot exits with 1 on a root bus", async () => {
  const host = simulate({ functions: { [A]: { model: "edu" } } });
  assertEquals((await json(host, ["show", A])).hotReset, null);
  const { error } = await json(host, ["reset", A, "--hot"]);
  assertEquals(error.code, "NOT_SUPPORTED");
});

Deno.test("passthru reset exits with 1 when the kernel cannot reset the function", async () => {
  const host = simulate({
    functions: {
      [A]: { id: "8086:10d3", reset: [] },
      [B]: { id: "8086:10d3", reset: ["flr"] },
    },
  });
  assertEquals((await json(host, ["reset", A])).error.code, "NOT_SUPPORTED");
  const { error } = await json(host, ["reset", B, "--method", "pm"]);
  assertEquals([error.code, error.hint], [
    "NOT_SUPPORTED",
    "the kernel can reset it by flr",
  ]);
});

Deno.test("passthru apply --at-boot writes a unit that runs the command, and restore --at-boot removes it", async () => {
  const host = simulate(HOST);
  const before = await stateOf(host);
  const argv = ["apply", "state.json", "--at-boot", "desk"];
  const { code, err } = await call(host, argv, { files: FILES });
  assertEquals(code, 0, err);
  assertStringIncludes(err, "passthru-desk.service applies it at boot");
  assertEquals((await json(host, ["status"])).atBoot, ["desk"]);
  const unit = host.kernel.readFile(
    "/etc/systemd/system/passthru-desk.service",
  );
  const commands = [...unit.matchAll(/^Exec\w+=\S+passthru (.*)$/gm)]
    .map(([, words]) => words!.split(" "));
  assertEquals(commands.map(([name]) => name), ["apply", "restore"]);
  const files = {
    "/etc/passthru/desk.json": host.kernel.readFile("/etc/passthru/desk.json"),
  };
  const [start, stop] = commands;
  assertEquals((await call(host, stop!, { files })).code, 0);
  assertEquals(host.function(A).driver, "e1000e");
  assertEquals((await call(host, start!, { files })).code, 0);
  assertEquals(host.function(A).driver, "vfio-pci");
  assertEquals((await call(host, ["restore", "--at-boot", "desk"])).code, 0);
  assertEquals((await json(host, ["status"])).atBoot, []);
  assertEquals(await stateOf(host), before);
});

Deno.test("passthru restore --name undoes only what was applied under that name", async () => {
  const host = simulate(HOST);
  const files = FILES;
  await call(host, ["apply", "state.json", "--name", "one"], { files });
  await call(host, ["bind", B]);
  assertEquals((await call(host, ["restore", "--name", "one"])).code, 0);
  assertEquals(host.function(A).driver, "e1000e");
  assertEquals(host.function(B).driver, "vfio-pci");
});

Deno.test("passthru attach suggests a command when a group is not viable", async () => {
  const host = simulate({
    functions: {
      [A]: { id: "8086:10d3", driver: "e1000e", group: 1 },
      [B]: { id: "1b36:0010", driver: "nvme", group: 1 },
    },
  });
  const { code, err } = await call(host, ["attach", A]);
  assertEquals(code, 1);
  assertStringIncludes(err, `not be viable with ${B} on nvme`);
  assertStringIncludes(err, "--whole-group");
  const attachArgs = ["attach", A, "--whole-group", "--no-hold"];
  const { code: done, out } = await call(host, attachArgs);
  assertEquals([done, host.function(B).driver], [0, "nvme"]);
  assertStringIncludes(out, "vfio-pci, by iommufd");
});

Deno.test("passthru restore names a damaged journal, and restore --forget drops it", async () => {
  const host = simulate(HOST);
  await call(host, ["bind", A]);
  await call(host, ["bind", B]);
  const path = "/run/passthru/apply-1.jsonl";
  host.kernel.writeFile(path, "garbage");
  const shown = await json(host, ["restore"]);
  assertEquals(shown.undone.length, 1);
  assertEquals(shown.damaged.map(({ id }: { id: string }) => id), ["apply-1"]);
  assertEquals(shown.damaged[0].error.code, "JOURNAL_DAMAGED");
  for (const command of ["restore", "status"]) {
    const { code, err } = await call(host, [command]);
    assertEquals(code, command === "restore" ? 1 : 0);
    assertStringIncludes(err, path);
    assertStringIncludes(err, "passthru restore --forget apply-1");
  }
  const dropped = await call(host, ["restore", "--forget", "apply-1"]);
  assertEquals([dropped.code, dropped.err], [0, ""]);
  assertEquals(host.function(A).driver, "vfio-pci");
  for (const id of ["apply-1", "../lock"]) {
    assertEquals((await call(host, ["restore", "--forget", id])).code, 2);
  }
  const both = ["restore", A, "--forget", "apply-1"];
  assertEquals((await call(host, both)).code, 2);
  const { code, out } = await call(host, ["restore"]);
  assertEquals([code, out], [0, "Nothing to undo.\n"]);
});

Deno.test("passthru apply --at-boot installs nothing when the state cannot be applied", async () => {
  const host = simulate(HOST);
  const before = host.kernel.readdir("/etc");
  const state = { functions: [{ select: A, driver: "no_such_driver" }] };
  const files = { "bad.json": JSON.stringify(state) };
  const argv = ["apply", "bad.json", "--at-boot", "desk"];
  const { code } = await call(host, argv, { files });
  assertEquals(code, 1);
  assertEquals(host.kernel.readdir("/etc"), before);
  assertEquals(persisted(host), []);
});

Deno.test("passthru apply --at-boot undoes the apply when the unit cannot be installed", async () => {
  const host = simulate(HOST);
  const { driver } = host.function(A);
  const argv = ["apply", "state.json", "--at-boot", "no/name"];
  const { code } = await call(host, argv, { files: FILES });
  assertEquals(code, 2);
  assertEquals(host.function(A).driver, driver);
});
