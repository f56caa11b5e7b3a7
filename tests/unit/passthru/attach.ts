import { simulate, SimulatedHost } from "../../../lib/sim/mod.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { call, json } from "../passthru_bench.ts";
import { Mortal } from "../provision_bench.ts";
import { A, B, HOST, stateOf } from "./state_bench.ts";

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
  assertMatch(
    out,
    /^ {2}iommu +IOAS 1 of intel-vtd: no dirty tracking, no nested page tables, no PASIDs, no ATS$/m,
  );
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
  assertEquals(shown.devices[0].iommu, null);
  assertEquals(
    shown.devices.map(({ address }: { address: string }) => address),
    [A, B],
  );
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
