import { assertEquals } from "@std/assert";
import { acsOf } from "../../../../lib/host/pci/topology/acs.ts";
import { Host } from "../../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../../lib/sim/host.ts";
import {
  type PciNode,
  pciTree,
} from "../../../../lib/host/pci/topology/tree.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../../lib/sim/machine/topology.ts";

const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };
const BRIDGE: FunctionTopology = { id: "8086:a110", class: 0x060400 };

type Functions = NonNullable<Topology["functions"]>;

/** A tree of addresses: `{ "0000:00:1c.0": { "0000:01:00.0": {} } }`. */
interface Shape {
  [address: string]: Shape;
}

function shape(nodes: readonly PciNode[]): Shape {
  return Object.fromEntries(
    nodes.map(({ address, behind }) => [address, shape(behind)]),
  );
}

function treeOf(functions: Functions, more: Topology = {}) {
  return pciTree(simulate({ ...more, functions }));
}

/** The shared groups, and their causes as text. */
function shared(functions: Functions): [string, string[]][] {
  return treeOf(functions).sharedGroups.map(({ functions, causes }) => [
    functions.join(" "),
    causes.map(({ device, reason }) => `${device} ${reason}`),
  ]);
}

Deno.test("pciTree() puts functions behind their bridges, on their root buses", () => {
  const { buses } = treeOf({
    "0000:00:1c.0": { ...BRIDGE, numaNode: 0 },
    "0000:01:00.0": { ...BRIDGE, behind: "0000:00:1c.0" },
    "0000:02:01.0": { ...BRIDGE, behind: "0000:01:00.0" },
    "0000:03:00.0": { ...NIC, behind: "0000:02:01.0" },
    "0000:80:02.0": { ...NIC, numaNode: 1 },
    "0001:00:00.0": NIC,
  });
  assertEquals(
    buses.map(({ name, numaNode, functions }) => [
      name,
      numaNode,
      shape(functions),
    ]),
    [
      ["0000:00", 0, {
        "0000:00:1c.0": {
          "0000:01:00.0": { "0000:02:01.0": { "0000:03:00.0": {} } },
        },
      }],
      ["0000:80", 1, { "0000:80:02.0": {} }],
      ["0001:00", undefined, { "0001:00:00.0": {} }],
    ],
  );
});

Deno.test("pciTree() puts virtual functions under their physical function", () => {
  const { buses } = treeOf({
    "0000:00:1c.0": BRIDGE,
    "0000:04:00.0": {
      ...NIC,
      behind: "0000:00:1c.0",
      driver: "igb",
      sriov: { total: 7, enabled: 2, id: "8086:10ca", driver: "igbvf" },
    },
    "0000:04:10.2": { driver: "vfio-pci" },
  });
  const [port] = buses[0]!.functions;
  assertEquals(shape(port!.behind), { "0000:04:00.0": {} });
  assertEquals(
    port!.behind[0]!.virtualFunctions.map(({ address, driver }) => [
      address,
      driver,
    ]),
    [["0000:04:10.0", "igbvf"], ["0000:04:10.2", "vfio-pci"]],
  );
});

Deno.test("pciTree() describes each function, as plain data", () => {
  const tree = treeOf({
    "0000:00:03.0": { ...NIC, driver: "e1000e", group: 7 },
    "0000:00:04.0": { ...NIC, group: null },
  }, {
    files: {
      "/usr/share/misc/pci.ids": "8086  Intel Corporation\n" +
        "\t10d3  82574L\nC 02  Network controller\n\t00  Ethernet controller\n",
    },
  });
  const more = {
    id: "8086:10d3",
    class: 0x020000,
    className: "Ethernet controller",
    name: "Intel Corporation 82574L",
    bridge: false,
    behind: [],
    virtualFunctions: [],
  };
  assertEquals(tree, {
    buses: [{
      name: "0000:00",
      functions: [
        { ...more, address: "0000:00:03.0", driver: "e1000e", group: "7" },
        { ...more, address: "0000:00:04.0" },
      ],
    }],
    sharedGroups: [],
  });
  assertEquals(JSON.parse(JSON.stringify(tree)), tree);
});

/** Machines, and why some of their functions share a group. */
const SHARED: Record<string, [Functions, [string, string[]][]]> = {
  "a root port has no ACS": [
    {
      "0000:00:1c.0": { ...BRIDGE, acs: false },
      "0000:01:00.0": { ...NIC, behind: "0000:00:1c.0" },
      "0000:01:01.0": { ...NIC, behind: "0000:00:1c.0" },
    },
    [["0000:00:1c.0 0000:01:00.0 0000:01:01.0", ["0000:00:1c.0 has no ACS"]]],
  ],
  "a switch's port has no ACS, and the one above has": [
    {
      "0000:00:1c.0": BRIDGE,
      "0000:01:00.0": { ...BRIDGE, behind: "0000:00:1c.0" },
      "0000:02:01.0": { ...BRIDGE, acs: false, behind: "0000:01:00.0" },
      "0000:03:00.0": { ...NIC, behind: "0000:02:01.0" },
    },
    [["0000:02:01.0 0000:03:00.0", ["0000:02:01.0 has no ACS"]]],
  ],
  "the functions of a card have no ACS": [
    {
      "0000:00:1c.0": BRIDGE,
      "0000:01:00.0": { ...NIC, behind: "0000:00:1c.0" },
      "0000:01:00.1": { ...NIC, behind: "0000:00:1c.0" },
    },
    [["0000:01:00.0 0000:01:00.1", ["0000:01:00 has no ACS"]]],
  ],
  "they are behind a conventional bridge": [
    {
      "0000:00:1e.0": { ...BRIDGE, conventional: true },
      "0000:05:00.0": { ...NIC, behind: "0000:00:1e.0" },
      "0000:05:01.0": { ...NIC, behind: "0000:00:1e.0" },
    },
    [["0000:00:1e.0 0000:05:00.0 0000:05:01.0", [
      "0000:00:1e.0 is conventional PCI, where devices share a bus and their " +
      "names",
    ]]],
  ],
  "a group is shared in spite of ACS": [
    {
      "0000:00:03.0": { ...NIC, group: 1 },
      "0000:00:04.0": { ...NIC, group: 1 },
    },
    [["0000:00:03.0 0000:00:04.0", []]],
  ],
  "no group is shared": [
    {
      "0000:00:1c.0": BRIDGE,
      "0000:00:1c.1": BRIDGE,
      "0000:01:00.0": { ...NIC, behind: "0000:00:1c.0", acs: true },
      "0000:01:00.1": { ...NIC, behind: "0000:00:1c.0", acs: true },
    },
    [],
  ],
};

for (const [name, [functions, expected]] of Object.entries(SHARED)) {
  Deno.test(`pciTree() returns shared groups and their causes when ${name}`, () => {
    assertEquals(shared(functions), expected);
  });
}

Deno.test("pciTree() says that the cause is unknown when only root may read it", () => {
  const { machine } = simulate({
    functions: {
      "0000:00:1c.0": { ...BRIDGE, acs: false },
      "0000:01:00.0": { ...NIC, behind: "0000:00:1c.0" },
    },
  });
  const [{ causes } = { causes: [] }] =
    pciTree(new SimulatedHost(machine, { uid: 1000 })).sharedGroups;
  assertEquals(causes, [{
    device: "0000:00:1c.0",
    reason: "may have no ACS, which only root can read",
  }]);
});

/** A host with one PCI Express function, which has this config space. */
function withConfig(at: Record<number, number>) {
  const host = simulate({ functions: { "0000:00:1c.0": BRIDGE } });
  const words = { 0x04: 0x0010_0000, 0x34: 0x40, ...at };
  const { kernel } = host;
  const fn = new Host({
    kernel: new Proxy(kernel, {
      get: (_, name) =>
        name === "pread"
          ? (_fd: number, into: Uint8Array, offset: bigint) => {
            const view = new DataView(into.buffer, into.byteOffset);
            const words32 = words as Record<number, number>;
            view.setUint32(0, words32[Number(offset)] ?? 0, true);
            return into.length;
          }
          : Reflect.get(kernel, name).bind?.(kernel) ??
            Reflect.get(kernel, name),
    }),
  }).function("0000:00:1c.0");
  return acsOf(fn);
}

/** The PCI Express capability of a type of function, and an ACS capability. */
const express = (type: number) => ({ 0x40: 0x0002_0010 | type << 20 });
const acs = (able: number, on: number) => ({
  0x100: 0x1401_0001,
  0x140: 0x0001_000d,
  0x144: on * 2 ** 16 + able,
});

for (
  const [name, config, isolates, reason] of [
    [
      "all of ACS is on",
      { ...express(4), ...acs(0x1d, 0x1d) },
      true,
      "has ACS",
    ],
    [
      "a part of ACS is off",
      { ...express(6), ...acs(0x1f, 0x11) },
      false,
      "has ACS switched off: request redirect, completion redirect",
    ],
    [
      "the missing parts of ACS are fixed",
      { ...express(4), ...acs(1, 1) },
      true,
      "has ACS",
    ],
    ["a root port has no ACS", express(4), false, "has no ACS"],
    [
      "an upstream port is alone in its slot",
      express(5),
      true,
      "is alone in its slot and needs no ACS",
    ],
    [
      "an upstream port is one of several",
      { ...express(5), 0x0c: 0x0081_0000 },
      false,
      "has no ACS",
    ],
    [
      "it is a bridge to conventional PCI",
      { ...express(7), ...acs(0x1d, 0x1d) },
      false,
      "is a bridge to conventional PCI, whose devices it names as one",
    ],
    [
      "its capabilities form a loop",
      { ...express(4), 0x100: 0x1001_0001 },
      false,
      "has no ACS",
    ],
  ] as const
) {
  Deno.test(`acsOf() agrees with the kernel when ${name}`, () => {
    assertEquals(withConfig(config), { isolates, reason });
  });
}
