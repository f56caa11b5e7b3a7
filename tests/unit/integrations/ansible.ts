import { assertEquals, assertStringIncludes } from "@std/assert";
import { FACTS } from "../../../integrations/ansible/facts.ts";
import {
  type Module,
  type Result,
  resultOf,
} from "../../../integrations/ansible/module.ts";
import { STATE } from "../../../integrations/ansible/state.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { terminalOf } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const DESIRED = { functions: [{ select: A, driver: "vfio-pci" }] };

/** A simulated host in a file, on which one task after the other acts. */
class HostFile {
  readonly #files: Record<string, string>;

  /** Makes the file. */
  constructor(topology: Partial<Topology> = {}) {
    const host = {
      functions: {
        [A]: { id: "8086:10d3", driver: "e1000e" },
        [B]: { id: "8086:10d3", driver: "e1000e" },
      },
      ...topology,
    };
    this.#files = { "/host.json": JSON.stringify(host) };
  }

  /** The drivers of its functions. */
  get drivers(): readonly (string | undefined)[] {
    const host = simulate(JSON.parse(this.#files["/host.json"]!));
    return host.functions().map(({ driver }) => driver);
  }

  /** Runs a task on it. */
  async task(
    parameters: Readonly<Record<string, unknown>>,
    module: Module = STATE,
  ): Promise<Result> {
    const files: Record<string, string> = {
      ...this.#files,
      "/args": JSON.stringify({ simulate: "/host.json", ...parameters }),
      "/state.json": JSON.stringify(DESIRED),
    };
    const saved = (path: string, text: string) => {
      this.#files[path] = text;
    };
    return await resultOf(module, "/args", terminalOf({ files, saved }));
  }
}

Deno.test("state brings a host to a desired state, and says so only once", async () => {
  const host = new HostFile();
  const first = await host.task({ desired: DESIRED, _ansible_no_log: false });
  assertEquals(first, {
    changed: true,
    steps: [{
      kind: "driver",
      device: A,
      driver: "vfio-pci",
      why: "e1000e has it",
    }],
  });
  assertEquals(host.drivers, ["vfio-pci", "e1000e"]);
  for (const same of [{ desired: DESIRED }, { path: "/state.json" }]) {
    assertEquals(await host.task(same), { changed: false, steps: [] });
  }
});

Deno.test("state says in check mode what it would do, and does nothing", async () => {
  const host = new HostFile();
  const how = { _ansible_check_mode: true, _ansible_diff: true };
  const { changed, diff } = await host.task({ desired: DESIRED, ...how });
  assertEquals(changed, true);
  assertEquals(diff, {
    before: `${A}: e1000e has it\n`,
    after: `${A}: driver vfio-pci\n`,
  });
  assertEquals(host.drivers, ["e1000e", "e1000e"]);
  // What an apply refuses is refused here, too.
  const absent = { functions: [{ select: "0000:09:00.0", driver: null }] };
  assertEquals((await host.task({ desired: absent, ...how })).failed, true);
});

Deno.test("state undoes what was applied under a name", async () => {
  const host = new HostFile();
  const other = { functions: [{ select: B, driver: "vfio-pci" }] };
  await host.task({ desired: DESIRED, name: "desk" });
  await host.task({ desired: other, name: "shelf" });
  const undo = { name: "desk", state: "absent", _ansible_diff: true };
  const diff = { before: `${A}: driver vfio-pci\n`, after: "" };
  const planned = await host.task({ ...undo, _ansible_check_mode: true });
  assertEquals([planned.changed, planned.diff], [true, diff]);
  assertEquals(host.drivers, ["vfio-pci", "vfio-pci"]);
  const undone = await host.task(undo);
  assertEquals([undone.changed, undone.diff], [true, diff]);
  assertEquals(host.drivers, ["e1000e", "vfio-pci"]);
  for (const isCheck of [true, false]) {
    const again = { ...undo, _ansible_check_mode: isCheck };
    assertEquals(await host.task(again), { changed: false, steps: [] });
  }
});

Deno.test("state leaves a host as it was when a step fails", async () => {
  const host = new HostFile({ files: { "/etc/passthru": "a file\n" } });
  const handoff = [{ format: "env", path: "/etc/passthru/desk.env" }];
  const failed = await host.task({ desired: { ...DESIRED, handoff } });
  assertEquals([failed.failed, failed.changed], [true, false]);
  assertEquals([failed.code, failed.rc], ["KERNEL", 1]);
  assertStringIncludes(failed.msg as string, "ENOTDIR");
  assertEquals(host.drivers, ["e1000e", "e1000e"]);
});

Deno.test("state names the device of a failure, and what to do", async () => {
  const display = { id: "10de:2204", class: 0x030000, driver: "nouveau" };
  const functions = { [A]: display };
  const { path } = simulate({ functions }).function(A);
  const files = { [`${path}/boot_vga`]: "1\n" };
  const host = new HostFile({ functions, files });
  const refused = await host.task({ desired: DESIRED });
  assertEquals([refused.code, refused.device], ["HOST_IN_USE", A]);
  assertStringIncludes(refused.msg as string, `${A}: `);
  assertEquals(typeof refused.hint, "string");
  assertEquals(host.drivers, ["nouveau"]);
  const insist = { desired: DESIRED, insist: [A] };
  assertEquals((await host.task(insist)).changed, true);
});

Deno.test("state refuses parameters that it does not understand", async () => {
  const host = new HostFile();
  const wrong: readonly Readonly<Record<string, unknown>>[] = [
    {},
    { desired: DESIRED, path: "/state.json" },
    { path: "state.json" },
    { path: "/nothing.json" },
    { desired: DESIRED, state: "gone" },
    { desired: DESIRED, timeout: "soon" },
    { desired: DESIRED, timeout: 0 },
    { desired: DESIRED, insist: { a: 1 } },
    { desired: DESIRED, name: 7 },
    { desired: "{" },
    { desired: { function: [] } },
    { desired: DESIRED, desires: DESIRED },
    { desired: DESIRED, simulate: "/state.yaml" },
  ];
  for (const parameters of wrong) {
    const { code, changed, failed } = await host.task(parameters);
    assertEquals(
      [code, changed, failed],
      ["USAGE", false, true],
      JSON.stringify(parameters),
    );
  }
  assertEquals(host.drivers, ["e1000e", "e1000e"]);
});

Deno.test("facts has what list and doctor say", async () => {
  const host = new HostFile({ iommu: "none" });
  const { changed, ansible_facts } = await host.task({}, FACTS);
  assertEquals(changed, false);
  // deno-lint-ignore no-explicit-any
  const { functions, fit, findings } = (ansible_facts as any).passthru;
  assertEquals(functions[0].address, A);
  assertEquals([functions.length, functions[0].driver], [2, "e1000e"]);
  assertEquals(fit, false);
  assertEquals(findings[0].check, "iommu");
});
