import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { Host } from "../../../lib/host/host.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { status } from "../../../lib/provision/status.ts";
import type {
  DesiredState,
  HandoffState,
} from "../../../lib/provision/state/state.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { failure, refused } from "../../failures.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const PF = "0000:03:00.0";
const VF = "0000:03:10.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT = "/sys/devices/virtual/mtty/mtty";
const PATH = "/etc/cdi/gpu.json";
const CARD = { id: "10de:1eb8", class: 0x030200, driver: "nouveau" };

const MACHINE: Topology = {
  functions: {
    [A]: { ...CARD, group: 12 },
    [B]: { ...CARD, group: 13 },
    [PF]: {
      id: "8086:10c9",
      class: 0x020000,
      driver: "igb",
      sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
    },
  },
  mediatedTypes: { [PARENT]: { "mtty-1": { instances: 2 } } },
};

function stateWith(
  handoff: Partial<HandoffState>,
  more: DesiredState = {},
): DesiredState {
  return {
    functions: [{ select: A, driver: "vfio-pci" }],
    ...more,
    handoff: [{ format: "cdi", path: PATH, ...handoff }],
  };
}

/** The devices of a specification, with the nodes of each. */
function nodesIn(host: Host): Record<string, string> {
  const { devices } = JSON.parse(host.kernel.readFile(PATH));
  // deno-lint-ignore no-explicit-any
  return Object.fromEntries(devices.map(({ name, containerEdits }: any) => [
    name,
    containerEdits.deviceNodes[0].path,
  ]));
}

Deno.test("apply() hands over what the state binds, and restore() takes it back", async () => {
  const host = simulate(MACHINE);
  const before = JSON.stringify(await host.snapshot());
  const state = stateWith({});
  assertEquals(
    plan(host, state).toString(),
    `${A}       driver vfio-pci  nouveau has it
${PATH}  cdi of 1 device  its devices change
2 steps on 1 device.`,
  );
  await apply(host, state);
  assertEquals(nodesIn(host), { [A]: "/dev/vfio/12" });
  assertEquals(plan(host, state).steps, []);
  const [{ steps }] = await status(host) as [
    Awaited<ReturnType<typeof status>>[0],
  ];
  assertEquals(steps.map(({ holds }) => holds), [true, true]);
  const { undone, left } = await restore(host);
  assertEquals([undone.length, left.length], [2, 0]);
  assertEquals(exists(host.kernel, "/etc/cdi"), false);
  assertEquals(JSON.stringify(await host.snapshot()), before);
});

Deno.test("apply() writes the numbers that the kernel gives nodes as it binds", async () => {
  const host = simulate(MACHINE);
  await apply(host, {
    functions: [{ select: B, driver: "vfio-pci" }],
  });
  await apply(host, stateWith({ iommufd: true }));
  const { vfioDevice } = host.function(A);
  assertEquals(vfioDevice, "vfio1");
  assertEquals(nodesIn(host), { [A]: "/dev/vfio/devices/vfio1" });
});

Deno.test("apply() hands over functions and mediated devices that it makes", async () => {
  const host = simulate(MACHINE);
  const state = stateWith({}, {
    functions: [{
      select: PF,
      virtualFunctions: { count: 2, driver: "vfio-pci" },
    }],
    mediated: [{ uuid: UUID, parent: PARENT, type: "mtty-1" }],
  });
  assertEquals(plan(host, state).steps.at(-1), {
    kind: "handoff",
    path: PATH,
    format: "cdi",
    devices: [VF, "0000:03:10.2", UUID],
    options: {},
    why: "its devices do not exist yet",
  });
  await apply(host, state);
  assertEquals(Object.keys(nodesIn(host)), [VF, "0000:03:10.2", UUID]);
  assertEquals(plan(host, state).steps, []);
});

Deno.test("apply() hands over only the devices that are named", async () => {
  const host = simulate(MACHINE);
  await apply(
    host,
    stateWith({ functions: [VF], name: "example.com/vf" }, {
      functions: [
        { select: A, driver: "vfio-pci" },
        { select: PF, virtualFunctions: { count: 1, driver: "vfio-pci" } },
      ],
    }),
  );
  assertEquals(Object.keys(nodesIn(host)), [VF]);
});

Deno.test("apply() replaces another file, and restore() brings that back", async () => {
  const files = { [PATH]: "theirs\n" };
  const host = simulate({ ...MACHINE, files });
  await apply(host, stateWith({}));
  assertEquals(nodesIn(host), { [A]: "/dev/vfio/12" });
  await restore(host);
  assertEquals(host.kernel.readFile(PATH), "theirs\n");
});

Deno.test("restore() of a device takes back what hands it over", async () => {
  const host = simulate(MACHINE);
  await apply(host, stateWith({}, { hugePages: [{ size: "2M", count: 4 }] }));
  const { undone } = await restore(host, { devices: [A] });
  assertEquals(undone.map(({ kind }) => kind), ["handoff", "driver"]);
  assertEquals(exists(host.kernel, PATH), false);
});

Deno.test("restore() leaves a file that somebody has changed", async () => {
  const host = simulate(MACHINE);
  await apply(host, stateWith({}));
  await host.kernel.writeFileAsync(PATH, "{}\n");
  const { left } = await restore(host);
  assertEquals(left.map(({ step }) => step.kind), ["handoff"]);
  assertStringIncludes(String(left[0]!.error), `${PATH} was changed`);
});

Deno.test("apply() writes a file again when it does not fit the devices any more", async () => {
  const host = simulate(MACHINE);
  await apply(host, stateWith({}));
  await host.kernel.writeFileAsync(PATH, "{}\n");
  const { steps } = plan(host, stateWith({}));
  assertEquals(steps.map(({ kind, why }) => [kind, why]), [
    ["handoff", "something else is in it"],
  ]);
});

Deno.test("plan() refuses what a format cannot express, before a driver changes", () => {
  const host = simulate({
    ...MACHINE,
    functions: { ...MACHINE.functions, [B]: { ...CARD, group: 13 } },
  });
  const error = failure(
    "NOT_SUPPORTED",
    () => plan(host, stateWith({ format: "kubevirt" })),
  );
  assertEquals(error.device, A);
  assertStringIncludes(error.problem, `it takes ${B} as well`);
  failure(
    "WRONG_DRIVER",
    () => plan(host, stateWith({ functions: [B] })),
  );
  failure(
    "NOT_SUPPORTED",
    () =>
      plan(
        host,
        stateWith({ format: "libvirt", iommufd: true, consumer: "9.0" }),
      ),
  );
});

Deno.test("plan() refuses a path that is given twice, and a state without devices", () => {
  const host = simulate(MACHINE);
  const handoff: HandoffState[] = [
    { format: "cdi", path: PATH },
    { format: "env", path: PATH },
  ];
  assertThrows(
    () => plan(host, { ...stateWith({}), handoff }),
    TypeError,
    `handoff[0] and handoff[1] are both ${PATH}`,
  );
  assertThrows(
    () => plan(host, stateWith({}, { functions: [] })),
    TypeError,
    "handoff[0]: the state gives no device to a VFIO driver",
  );
});

Deno.test("apply() leaves the host as it was when a file cannot be written", async () => {
  const host = simulate({ ...MACHINE, files: { "/etc/cdi": "a file\n" } });
  const before = JSON.stringify(await host.snapshot());
  await refused("KERNEL", () => apply(host, stateWith({})));
  assertEquals(JSON.stringify(await host.snapshot()), before);
  assertEquals(host.function(A).driver, "nouveau");
});

Deno.test("restore() reports a journal whose hand-over names no devices, and keeps it", async () => {
  const host = simulate(MACHINE);
  await apply(host, stateWith({}));
  const path = "/var/lib/passthru/apply-1.jsonl";
  const text = host.kernel.readFile(path);
  await host.kernel.writeFileAsync(
    path,
    text.replace('"devices":', '"device5":'),
  );
  const { damaged } = await restore(host, { devices: [A] });
  assertEquals(damaged.map(({ id, error }) => [id, error.code]), [
    ["apply-1", "JOURNAL_DAMAGED"],
  ]);
});
