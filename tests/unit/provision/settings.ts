import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import { nodePaths } from "../../../lib/host/iommu/nodes.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import type {
  FunctionState,
  HugePagesState,
  MediatedState,
  NodeState,
} from "../../../lib/provision/state/state.ts";
import { nearest } from "../../../lib/suggest.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import { contradicted, planned, refused, settled } from "../planned.ts";

const A = "0000:01:00.0";
const B = "0000:01:00.1";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const OTHER = "00000000-509f-382f-3c1e-e6bfe0fa1001";

const host = (more: Partial<FunctionTopology> = {}): Topology => ({
  functions: { [A]: { id: "8086:10d3", driver: "e1000e", ...more } },
  files: {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nqemu:x:107:36::/:/bin/sh\n",
    "/etc/group": "root:x:0:\nkvm:x:36:qemu\n",
  },
});

const one = (more: Partial<FunctionState>) => ({
  functions: [{ select: A, ...more }],
});

Deno.test("plan() changes the reset methods when the order differs", async () => {
  const card = host({ reset: ["flr", "pm", "bus"] });
  assertEquals(planned(card, one({ reset: ["flr", "pm", "bus"] })), []);
  const state = one({ reset: ["bus", "flr"] });
  assertEquals(planned(card, state), [`${A}: reset_method = bus flr`]);
  const fn = (await settled(card, state)).function(A);
  assertEquals(fn.resetMethods, ["bus", "flr"]);
});

Deno.test("plan() changes the reset methods before the driver, which may reset the function", () => {
  assertEquals(
    planned(
      host({ reset: ["flr", "bus"] }),
      one({ reset: ["bus"], driver: "vfio-pci" }),
    ),
    [`${A}: reset_method = bus`, `${A}: driver vfio-pci`],
  );
});

Deno.test("plan() throws NOT_SUPPORTED when a function lacks a reset method", () => {
  const error = refused(
    "NOT_SUPPORTED",
    host({ reset: ["flr", "pm"] }),
    one({ reset: ["bus", "flr"] }),
  );
  assertEquals(
    error.problem,
    "it cannot be reset by bus (functions[0]), only by flr, pm",
  );
  for (
    const other of [
      host({ reset: [] }),
      // It can be reset, but the kernel does not list the methods.
      { ...host({ reset: ["flr"] }), kernel: { release: "5.10.0" } },
    ]
  ) {
    assertEquals(
      refused("NOT_SUPPORTED", other, one({ reset: ["flr"] })).problem,
      "it cannot be reset by flr (functions[0]), nor by another method",
    );
  }
});

Deno.test("plan() changes how a function sleeps when that differs", async () => {
  const on = `${A}: power/control = on`;
  const auto = `${A}: power/control = auto`;
  assertEquals(planned(host(), one({ idleD3: false })), []);
  assertEquals(planned(host(), one({ idleD3: "cold" })), [auto]);
  assertEquals(planned(host(), one({ idleD3: "hot" })), [
    `${A}: d3cold_allowed = 0`,
    auto,
  ]);
  assertEquals(planned(host({ power: "auto" }), one({ idleD3: false })), [on]);
  for (const idleD3 of [false, "hot", "cold"] as const) {
    await settled(host(), one({ idleD3 }));
    // The driver changes the setting, so it comes after the driver.
    const state = one({ idleD3, driver: "vfio-pci" });
    const steps = planned(host(), state);
    assertEquals(steps[0], `${A}: driver vfio-pci`);
    assertEquals(steps.at(-1), idleD3 === false ? on : auto);
    await settled(host(), state);
  }
});

Deno.test("plan() throws NOT_SUPPORTED when a virtual function should lose its power", () => {
  const card = host({
    sriov: { total: 7, enabled: 1, id: "8086:10ca" },
  });
  const state = { functions: [{ select: "01:10.0", idleD3: "cold" as const }] };
  assertEquals(
    refused("NOT_SUPPORTED", card, state).hint,
    "a virtual function shares the power of its physical function",
  );
});

const nodes = (node: NodeState) => one({ driver: "vfio-pci", node });

Deno.test("plan() changes the owner of nodes when it differs", async () => {
  const state = nodes({ owner: "qemu", group: "kvm", mode: "0660" });
  assertEquals(planned(host(), state), [
    `${A}: driver vfio-pci`,
    `${A}: nodes 107:36 0660`,
  ]);
  const there = await settled(host(), state);
  const paths = nodePaths([there.function(A)]);
  assertEquals(paths.length, 2);
  for (const path of paths) {
    const { uid, gid, mode } = there.kernel.stat(path);
    assertEquals([uid, gid, mode & 0o777], [107, 36, 0o660]);
  }
  // Keys that are not given are not compared.
  assertEquals(planned(there, nodes({ owner: 107 })), []);
  assertEquals(planned(there, nodes({ group: "kvm" })), []);
  assertEquals(planned(there, nodes({ mode: "600" })), [`${A}: nodes 0600`]);
  assertEquals(planned(there, nodes({ group: 0 })), [`${A}: nodes :0`]);
});

Deno.test("plan() throws NOT_SUPPORTED when there is no such user or group", () => {
  const user = refused("NOT_SUPPORTED", host(), nodes({ owner: "kvm" }));
  assertEquals(
    user.problem,
    "there is no user kvm in /etc/passwd (functions[0].node.owner)",
  );
  assertEquals(
    refused("NOT_SUPPORTED", host(), nodes({ group: "qemu" })).hint,
    "create it, or give its id where it is defined elsewhere: id -g qemu",
  );
});

Deno.test("plan() throws WRONG_DRIVER when a function will have no nodes", () => {
  const node = { mode: "0600" };
  const bare = "it has no VFIO nodes, which functions[0].node needs, with ";
  for (
    const [more, driver] of [
      [{}, "e1000e"],
      [{ driver: "pci-stub" }, "pci-stub"],
      [{ driver: null }, "no driver"],
    ] as const
  ) {
    const error = refused("WRONG_DRIVER", host(), one({ ...more, node }));
    assertEquals(error.problem, bare + driver);
  }
});

Deno.test("plan() throws when functions that share a group's node have two owners", () => {
  const card = (group: number): Topology => ({
    functions: {
      [A]: { id: "8086:1521", driver: "vfio-pci", group: 1 },
      [B]: { id: "8086:1521", driver: "vfio-pci", group },
    },
  });
  const state = (owner: number) => ({
    functions: [
      { select: A, node: { owner: 1 } },
      { select: B, node: { owner } },
    ],
  });
  assertEquals(
    contradicted(card(1), state(2)),
    "functions[0].node and functions[1].node are about the same node, " +
      "/dev/vfio/1: expected the same",
  );
  assertEquals(planned(card(1), state(1)).length, 2);
  assertEquals(planned(card(2), state(2)).length, 2);
});

const GPU: Topology = {
  functions: {
    [A]: { id: "8086:1912", driver: "i915" },
    [B]: { id: "8086:1913", driver: "i915", acs: true },
  },
  mediatedTypes: {
    [A]: { "i915-V5_4": { instances: 2 }, "i915-V5_8": { instances: 1 } },
    "/sys/devices/virtual/mtty/mtty": { "mtty-1": { instances: 24 } },
  },
};

const gvt = (more: Partial<MediatedState> = {}) => ({
  uuid: UUID,
  parent: A,
  type: "i915-V5_4",
  ...more,
});

Deno.test("plan() makes a mediated device when there is none", async () => {
  const state = { mediated: [gvt({ node: { owner: 107 } })] };
  assertEquals(planned(GPU, state), [
    `${UUID}: mediated device i915-V5_4 of ${A}`,
    `${UUID}: nodes 107:`,
  ]);
  const there = await settled(GPU, state);
  assertEquals(there.find(`/sys/bus/mdev/devices/${UUID}`).bus, "mdev");
  const upper = gvt({ uuid: UUID.toUpperCase() });
  assertEquals(planned(there, { mediated: [upper] }), []);
});

Deno.test("plan() makes a mediated device of a parent other than a PCI function when its path is given", async () => {
  const mtty = "/sys/devices/virtual/mtty/mtty";
  const state = { mediated: [gvt({ parent: mtty, type: "mtty-1" })] };
  assertEquals(planned(GPU, state), [
    `${UUID}: mediated device mtty-1 of mtty`,
  ]);
  await settled(GPU, state);
  refused("DEVICE_NOT_FOUND", GPU, {
    mediated: [gvt({ parent: "/sys/devices/virtual/none", type: "mtty-1" })],
  });
});

Deno.test("plan() throws NOT_SUPPORTED when no mediated device is available", () => {
  const type = "i915-V5_8";
  const more = [gvt({ type }), gvt({ type, uuid: OTHER })];
  assertEquals(planned(GPU, { mediated: more.slice(1) }).length, 1);
  assertEquals(
    refused("NOT_SUPPORTED", GPU, { mediated: more }).problem,
    "it has no room for another mediated device of type i915-V5_8 " +
      "(mediated[1])",
  );
  assertEquals(
    refused("NOT_SUPPORTED", GPU, { mediated: [gvt({ type: "x" })] }).hint,
    "it makes i915-V5_4, i915-V5_8",
  );
  assertEquals(
    refused("NOT_SUPPORTED", GPU, { mediated: [gvt({ parent: B })] }).hint,
    "it makes none: is its driver loaded, with mediated devices enabled?",
  );
});

Deno.test("plan() throws IDENTITY_CHANGED when another mediated device has the UUID", () => {
  const there: Topology = {
    ...GPU,
    mediated: { [UUID]: { parent: A, type: "i915-V5_8" } },
  };
  const error = refused("IDENTITY_CHANGED", there, { mediated: [gvt()] });
  assertEquals(error.device, UUID);
});

Deno.test("plan() throws for mediated devices when the state contradicts itself", () => {
  assertEquals(
    contradicted(GPU, {
      mediated: [gvt(), gvt({ uuid: UUID.toUpperCase() })],
    }),
    `mediated[0] and mediated[1] are both ${UUID}`,
  );
  assertEquals(
    contradicted(GPU, {
      functions: [{ select: A, driver: null }],
      mediated: [gvt()],
    }),
    `mediated[0].parent: the driver of ${A} changes in this state, ` +
      "and its mediated devices are its driver's: expected two states",
  );
});

const pages = (...hugePages: HugePagesState[]) => ({ hugePages });

/** Two NUMA nodes, with pages on both. */
const NUMA: Topology = {
  functions: { [A]: { id: "8086:10d3", numaNode: 1 } },
  hugePages: { "2M": 8 },
};

Deno.test("plan() reserves huge pages when their number differs", async () => {
  const machine = { hugePages: { "2M": 8 } };
  assertEquals(planned(machine, pages({ size: "2M", count: 8 })), []);
  for (const count of [0, 4, 512]) {
    const state = pages({ size: "2M", count }, { size: "1G", count: 2 });
    assertEquals(planned(machine, state), [
      `hugepages-2048kB: nr_hugepages = ${count}`,
      "hugepages-1048576kB: nr_hugepages = 2",
    ]);
    await settled(machine, state);
  }
  const same = pages({ size: "2048K", count: 8 });
  assertEquals(planned(machine, same), []);
});

Deno.test("plan() reserves huge pages on a NUMA node when it is given", async () => {
  const state = pages(
    { size: "2M", count: 4, numaNode: 0 },
    { size: "2M", count: 16, numaNode: 1 },
  );
  const [step, ...more] = plan(simulate(NUMA), state).steps;
  assertEquals(more, []);
  assertEquals(step, {
    kind: "attribute",
    path:
      "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
    value: "16",
    why: "4 pages of 2M are reserved on node 1",
  });
  const there = await settled(NUMA, state);
  assertEquals(planned(there, pages({ size: "2M", count: 20 })), []);
});

Deno.test("plan() throws NOT_SUPPORTED when there are no such huge pages", () => {
  assertEquals(
    refused("NOT_SUPPORTED", NUMA, pages({ size: "16M", count: 1 })).hint,
    "it has hugepages-1048576kB, hugepages-2048kB",
  );
  const state = pages({ size: "2M", count: 1, numaNode: 2 });
  assertEquals(
    refused("NOT_SUPPORTED", NUMA, state).hint,
    "there are node0, node1",
  );
});

Deno.test("plan() throws when huge pages are given twice", () => {
  const all = { size: "2M", count: 1 };
  const first = { ...all, numaNode: 0 };
  for (
    const [a, b] of [[all, all], [all, first], [first, all], [first, first]]
  ) {
    assertEquals(
      contradicted(NUMA, pages(a!, b!)),
      "hugePages[0] and hugePages[1] are about the same huge pages of 2M",
    );
  }
  planned(
    NUMA,
    pages(first, { ...first, numaNode: 1 }, { ...all, size: "1G" }),
  );
});

Deno.test("plan() writes a file of limits when a user may lock more", async () => {
  const state = {
    memoryLimit: { qemu: "8G", "1000": "unlimited", root: "64K" },
  };
  const texts = plan(simulate(host()), state).steps.map((step) =>
    step.kind === "file" ? `${step.path}\n${step.text}` : step.kind
  );
  const comment = "# How much memory may be locked, for DMA.\n";
  const folder = "/etc/security/limits.d";
  // In objects of JSON, numbers come first.
  assertEquals(texts, [
    `${folder}/90-passthru-1000.conf\n${comment}:1000 - memlock unlimited\n`,
    `${folder}/90-passthru-qemu.conf\n${comment}qemu - memlock 8388608\n`,
    `${folder}/90-passthru-root.conf\n${comment}root - memlock 64\n`,
  ]);
  await settled(host(), state);
});

Deno.test("plan() throws NOT_SUPPORTED when a limit is for an unknown user", () => {
  assertEquals(
    refused("NOT_SUPPORTED", host(), { memoryLimit: { qmeu: "8G" } }).problem,
    'there is no user qmeu in /etc/passwd (memoryLimit["qmeu"])',
  );
});

Deno.test("plan() orders all steps when the state has every kind", async () => {
  const all: Topology = {
    ...host({
      reset: ["flr", "bus"],
      sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
    }),
    ...GPU,
    functions: {
      ...GPU.functions,
      "0000:02:00.0": {
        id: "8086:10c9",
        driver: "igb",
        reset: ["flr", "bus"],
        sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
      },
      "0000:03:00.0": { id: "10de:2204", driver: "nouveau" },
    },
  };
  const state = {
    memoryLimit: { qemu: "8G" },
    hugePages: [{ size: "2M", count: 4 }],
    mediated: [gvt()],
    functions: [
      {
        select: "03:00.0",
        driver: "vfio-pci",
        idleD3: "hot" as const,
        node: { owner: "qemu" },
      },
      {
        select: "02:00.0",
        reset: ["bus" as const],
        virtualFunctions: { count: 1, driver: "vfio-pci" },
      },
    ],
  };
  assertEquals(planned(all, state), [
    "0000:02:00.0: reset_method = bus",
    "0000:02:00.0: sriov_drivers_autoprobe = 0",
    "0000:02:00.0: 1 virtual function",
    "0000:03:00.0: driver vfio-pci",
    "0000:02:10.0: driver vfio-pci",
    "0000:03:00.0: d3cold_allowed = 0",
    "0000:03:00.0: power/control = auto",
    "0000:03:00.0: nodes 107:",
    `${UUID}: mediated device i915-V5_4 of ${A}`,
    "hugepages-2048kB: nr_hugepages = 4",
    "/etc/security/limits.d/90-passthru-qemu.conf: 2 lines",
  ]);
  await settled(all, state);
});

Deno.test("nearest() finds the name when a letter is wrong, missing or elsewhere", () => {
  const known = ["driver", "virtualFunctions", "reset", "idleD3", "pin"];
  for (const typo of ["drivr", "drivers", "dirver", "Driver", "dr1ver"]) {
    assertEquals(nearest(typo, known), "driver", typo);
  }
  assertEquals(nearest("virtual_functions", known), "virtualFunctions");
  assertEquals(nearest("rset", known), "reset");
  assertEquals(nearest("pim", known), "pin");
  assertEquals(nearest("address", known), undefined);
  assertEquals(nearest("x", []), undefined);
});
