import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { call, json } from "../passthru_bench.ts";
import { A, B, HOST, PF, stateOf, UUID } from "./state_bench.ts";

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

Deno.test("passthru exits with 2 when a time limit is malformed", async () => {
  for (const text of ["0", "x", "-1", "1e9"]) {
    const { code } = await call(HOST, ["bind", A, `--timeout=${text}`]);
    assertEquals(code, 2, text);
  }
  assertEquals((await call(HOST, ["bind", A, "--timeout", "5"])).code, 0);
});
