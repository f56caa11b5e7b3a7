import { persisted } from "../../../lib/provision/boot/persist.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import {
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { call, json } from "../passthru_bench.ts";
import { A, B, HOST, stateOf } from "./state_bench.ts";

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
