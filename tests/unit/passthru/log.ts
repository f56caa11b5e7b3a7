import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { changes } from "../../../lib/provision/journal/change_log.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { refused } from "../../failures.ts";
import { call, json } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const LOG = "/var/log/passthru.jsonl";

const MACHINE: Topology = {
  functions: { [A]: { id: "8086:10d3", driver: "e1000e" } },
};

Deno.test("passthru log tells what was applied and undone, also once it is undone", async () => {
  const host = simulate(MACHINE);
  assertEquals((await call(host, ["log"])).out, "Nothing was changed.\n");
  await call(host, ["bind", A]);
  await call(host, ["bind", A]);
  await call(host, ["restore"]);
  const { code, out } = await call(host, ["log"]);
  assertEquals(code, 0);
  assertMatch(
    out,
    /^applied passthru bind 0000:01:00\.0 vfio-pci at \S+Z, by \S+ \(\d+\) of user 0\n {2}0000:01:00\.0: driver vfio-pci\n\nundone passthru bind 0000:01:00\.0 vfio-pci at \S+Z, by \S+ \(\d+\) of user 0\n {2}0000:01:00\.0: driver vfio-pci\n$/,
  );
  const { entries } = await json(host, ["log"]);
  assertEquals(
    entries.map((
      { event, id, changes }: { event: string; id: string; changes: string[] },
    ) => [event, id, changes]),
    [
      ["applied", "apply-1", [`${A}: driver vfio-pci`]],
      ["undone", "apply-1", [`${A}: driver vfio-pci`]],
    ],
  );
  assertEquals(host.kernel.stat(LOG).mode & 0o777, 0o600);
});

Deno.test("passthru log tells of an apply that failed", async () => {
  const host = simulate({
    ...MACHINE,
    files: { "/etc/cdi": "a file\n" },
  });
  await refused("KERNEL", () =>
    apply(host, {
      functions: [{ select: A, driver: "vfio-pci" }],
      handoff: [{ format: "cdi", path: "/etc/cdi/nic.json" }],
    }));
  assertEquals(changes(host).map(({ event, changes }) => [event, changes]), [
    [
      "failed",
      [`${A}: driver vfio-pci`, "/etc/cdi/nic.json: cdi of 1 device"],
    ],
  ]);
});

Deno.test("passthru log tells what a script has taken and given back, and what it could not take", async () => {
  const host = simulate(MACHINE);
  {
    await using _ = await host.take(A);
    await refused("DRIVER_FAILED", () => host.take(A, { driver: "nosuch" }));
  }
  assertEquals(
    changes(host).map(({ event, id, changes }) => [event, id, changes]),
    [
      ["applied", "take-1", [`${A}: driver vfio-pci`]],
      ["undone", "take-1", [`${A}: driver vfio-pci`]],
    ],
  );
});

Deno.test("passthru log tells what restore has given back for a killed script", async () => {
  const host = simulate(MACHINE);
  const script = host.machine.spawn({ name: "script" });
  await new Host({ kernel: script }).take(A);
  script.exit();
  await restore(host);
  assertEquals(changes(host).map(({ event, id }) => [event, id]), [
    ["applied", "take-1"],
    ["undone", "take-1"],
  ]);
});

Deno.test("passthru log leaves out what a killed process has half written", async () => {
  const host = simulate({
    ...MACHINE,
    files: { [LOG]: '{"at":"2026-01-01T00:\n' },
  });
  await call(host, ["bind", A]);
  assertEquals(changes(host).map(({ event }) => event), ["applied"]);
});

Deno.test("apply() does not need a log", async () => {
  const host = simulate({
    ...MACHINE,
    files: { "/var/log": "a file\n" },
  });
  await apply(host, { functions: [{ select: A, driver: "vfio-pci" }] });
  assertEquals(host.function(A).driver, "vfio-pci");
  assertEquals(changes(host), []);
});

Deno.test("passthru log tells what a restore has undone before it was interrupted", async () => {
  const host = simulate(MACHINE);
  const interrupted = new AbortController();
  await apply(host, {
    functions: [{ select: A, driver: "vfio-pci" }],
    handoff: [{ format: "cdi", path: "/etc/cdi/nic.json" }],
  });
  await assertRejects(() =>
    restore(host, {
      signal: interrupted.signal,
      onUndone: () => interrupted.abort(),
    })
  );
  assertEquals(changes(host).at(-1)!.changes, [
    "/etc/cdi/nic.json: cdi of 1 device",
  ]);
});
