import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
  fail,
} from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import schema from "../../../lib/provision/state/schema.json" with {
  type: "json",
};
import readme from "../../../lib/provision/README.md" with { type: "text" };
import { parseState, stateSchema } from "../../../lib/provision/state/parse.ts";
import { randomNumbers } from "../random.ts";

const A = "0000:01:00.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

/** Validates by the published schema, like another program. */
const valid = new Ajv2020({ strictTypes: false, allowUnionTypes: true })
  .compile(schema);

/** The states in the documentation. */
const documented = [...readme.matchAll(/^```json\n(.*?)^```$/gms)]
  .map(([, text]) => JSON.parse(text!));

const GOOD: readonly unknown[] = [
  {},
  { $schema: "./schema.json", functions: [], mediated: [], hugePages: [] },
  { functions: [{ select: A }] },
  { handoff: [] },
  {
    handoff: [{
      format: "cdi",
      path: "/etc/cdi/gpu.json",
      functions: [A, { slot: "3" }],
      mediated: ["83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"],
      iommufd: true,
      managed: false,
      name: "example.com/gpu",
      node: "web-1",
      consumer: "0.5.0",
      command: ["/usr/bin/passthru"],
    }],
  },
  { functions: [{ select: "01:00.0", driver: null }] },
  { functions: [{ select: "10000:E1:1F.7", driver: "mlx5_vfio_pci" }] },
  { functions: [{ select: { address: A }, driver: "e1000e" }] },
  { functions: [{ select: { path: "0000:00:1c.0/00.0/01.7" } }] },
  { functions: [{ select: { path: "0000:00:1f.2" } }] },
  { functions: [{ select: { id: "8086:10D3" } }] },
  {
    functions: [{
      select: { id: "8086:10d3", serial: "a0-36-9f-FF-ff-12-34-56" },
    }],
  },
  { functions: [{ select: { slot: "3" } }] },
  { functions: [{ select: { slot: "3-1", function: 7 } }] },
  {
    functions: [{
      select: A,
      pin: {
        id: "8086:10d3",
        subsystem: "8086:a01f",
        revision: 255,
        group: ["8086:10d3"],
      },
    }],
  },
  {
    functions: [{
      select: A,
      driver: "vfio-pci",
      group: "all endpoints",
      reset: ["flr", "device_specific", "bus"],
      idleD3: "hot",
      node: { owner: "qemu", group: 36, mode: "0660" },
    }],
  },
  { functions: [{ select: A, rom: "/var/lib/my roms/..a/card.rom" }] },
  { functions: [{ select: A, idleD3: false, node: { mode: "600" } }] },
  { functions: [{ select: A, virtualFunctions: { count: 0 } }] },
  {
    functions: [{
      select: A,
      virtualFunctions: {
        count: 65_535,
        driver: "vfio-pci",
        reset: ["flr"],
        idleD3: "hot",
        node: { owner: 0 },
        overrides: { "0": { driver: null }, "17": { idleD3: false } },
      },
    }],
  },
  { mediated: [{ uuid: UUID, parent: A, type: "i915-GVTg_V5_4" }] },
  {
    mediated: [{
      uuid: UUID.toUpperCase(),
      parent: "/sys/devices/virtual/mtty/mtty",
      type: "mtty-1",
      node: { mode: "0666" },
    }, { uuid: UUID, parent: { slot: "1" }, type: "nvidia-63" }],
  },
  {
    hugePages: [
      { size: "2M", count: 0 },
      { size: "1G", count: 16, numaNode: 1 },
    ],
  },
  {
    modules: ["vfio-pci", "8021q"],
    commandLine: [
      "intel_iommu=on",
      "quiet",
      "vfio-pci.ids=10de:2204,10de:1aef",
    ],
    moduleOptions: { "vfio-pci": { ids: "10de:2204", disable_idle_d3: "1" } },
    isolation: { cpus: "2-5,8", slice: "machine.slice" },
    functions: [{ select: A, interrupts: "node" }],
  },
  { isolation: { cpus: "0" }, functions: [{ select: A, interrupts: "0-3" }] },
  { memoryLimit: { qemu: "8G", "1000": "unlimited", "_x-y.z": "64K" } },
];

const fn = (more: Record<string, unknown>) => ({
  functions: [{ select: A }, { select: "02:00.0", ...more }],
});
const vfs = (more: Record<string, unknown>) =>
  fn({ virtualFunctions: { count: 4, ...more } });

/** Values that are not a state, and their messages. */
const BAD: readonly (readonly [state: unknown, message: string])[] = [
  [5, "the state: expected an object, got 5"],
  [null, "the state: expected an object, got null"],
  [[], "the state: expected an object, got []"],
  [
    { function: [] },
    'function: there is no such key; did you mean "functions"?',
  ],
  [{ xyz: 1 }, "xyz: there is no such key"],
  [
    { modules: ["-r"] },
    'modules[0]: expected the name of a module, got "-r"',
  ],
  [
    { commandLine: ["a b"] },
    'commandLine[0]: expected a word such as "intel_iommu=on", got "a b"',
  ],
  [
    { commandLine: ["a=$(x)"] },
    'commandLine[0]: expected a word such as "intel_iommu=on", got "a=$(x)"',
  ],
  [
    { moduleOptions: { kvm: { x: "1 2" } } },
    'moduleOptions["kvm"]["x"]: expected a value without spaces, got "1 2"',
  ],
  [
    { isolation: {} },
    'isolation: expected processors with the key "cpus", got {}',
  ],
  [
    { isolation: { cpus: "a" } },
    'isolation.cpus: expected processors such as "2-5", got "a"',
  ],
  [{ $schema: 1 }, "$schema: expected the name of a schema, got 1"],
  [{ functions: {} }, "functions: expected a list of functions, got {}"],
  [
    { handoff: [{ format: "libvrt", path: "/etc/x" }] },
    'handoff[0].format: expected the name of a format, got "libvrt"; did you ' +
    'mean "libvirt"?',
  ],
  [
    { handoff: [{ format: "cdi", path: "x.json" }] },
    'handoff[0].path: expected an absolute path such as "/etc/cdi/gpu.json", ' +
    'got "x.json"',
  ],
  [
    { handoff: [{ format: "cdi" }] },
    'handoff[0]: expected a file with the key "path", got {"format":"cdi"}',
  ],
  [
    { handoff: [{ format: "cdi", path: "/a", consumer: "new" }] },
    'handoff[0].consumer: expected a version such as "9.0", got "new"',
  ],
  [{ functions: ["x"] }, 'functions[0]: expected a function, got "x"'],
  [
    { functions: [{ driver: null }] },
    'functions[0]: expected a function with the key "select", ' +
    'got {"driver":null}',
  ],
  [
    fn({ driver: 5 }),
    "functions[1].driver: expected a name or null, got 5",
  ],
  [fn({ driver: "" }), 'functions[1].driver: expected a name or null, got ""'],
  [
    fn({ driver: "../x" }),
    'functions[1].driver: expected a name or null, got "../x"',
  ],
  [
    fn({ driver: ".." }),
    'functions[1].driver: expected a name or null, got ".."',
  ],
  ...["card.rom", "", "/", "/a/", "//a", "/a/../b", "/./a", "/a\nb"].map(
    (rom) =>
      [
        fn({ rom }),
        "functions[1].rom: expected an absolute path such as " +
        `"/var/lib/roms/card.rom", got ${JSON.stringify(rom)}`,
      ] as const,
  ),
  [
    vfs({ rom: "/a" }),
    "functions[1].virtualFunctions.rom: there is no such key",
  ],
  [
    fn({ drivr: "x" }),
    'functions[1].drivr: there is no such key; did you mean "driver"?',
  ],
  [
    fn({ virtualfunctions: {} }),
    "functions[1].virtualfunctions: there is no such key; " +
    'did you mean "virtualFunctions"?',
  ],
  [
    fn({ select: 5 }),
    'functions[1].select: expected an address, or an object with "address", ' +
    '"path", "id" or "slot", got 5',
  ],
  [
    fn({ select: { serial: "x" } }),
    'functions[1].select: expected an address, or an object with "address", ' +
    '"path", "id" or "slot", got {"serial":"x"}',
  ],
  [
    fn({ select: "1:0.0" }),
    'functions[1].select: expected an address such as "0000:01:00.0", ' +
    'got "1:0.0"',
  ],
  [
    fn({ select: { address: A, path: "x" } }),
    "functions[1].select.path: there is no such key",
  ],
  [
    fn({ select: { path: "00.0" } }),
    "functions[1].select.path: expected a path such as " +
    '"0000:00:1c.0/00.0", got "00.0"',
  ],
  [
    fn({ select: { id: "8086:10d3", serial: "12345678" } }),
    "functions[1].select.serial: expected a serial number such as " +
    '"a0-36-9f-ff-ff-12-34-56", got "12345678"',
  ],
  [
    fn({ select: { slot: "3", function: 8 } }),
    "functions[1].select.function: expected a number from 0 to 7, got 8",
  ],
  [
    fn({ pin: {} }),
    "functions[1].pin: expected something to compare, got {}",
  ],
  [
    fn({ pin: { group: [] } }),
    "functions[1].pin.group: expected the ids of the group's functions, got []",
  ],
  [
    fn({ pin: { revision: 1.5 } }),
    "functions[1].pin.revision: expected a number from 0 to 255, got 1.5",
  ],
  [
    fn({ group: "refuse" }),
    "functions[1].group: expected a VFIO driver beside it, got nothing",
  ],
  [
    fn({ group: "refuse", driver: "e1000e" }),
    'functions[1].group: expected a VFIO driver beside it, got "e1000e"',
  ],
  [
    fn({ group: "refuse", driver: null }),
    "functions[1].group: expected a VFIO driver beside it, got null",
  ],
  [
    fn({ group: "all endpoint", driver: "vfio-pci" }),
    'functions[1].group: expected "refuse" or "all endpoints", ' +
    'got "all endpoint"; did you mean "all endpoints"?',
  ],
  [
    fn({ reset: [] }),
    "functions[1].reset: expected a list of reset methods, got []",
  ],
  [
    fn({ reset: ["flr", "bsu"] }),
    "functions[1].reset[1]: expected one of device_specific, acpi, flr, " +
    'af_flr, pm, bus, cxl_bus, got "bsu"; did you mean "bus"?',
  ],
  [
    fn({ reset: ["flr", "flr"] }),
    "functions[1].reset: expected a list of reset methods, each once, " +
    'got ["flr","flr"]',
  ],
  [
    fn({ idleD3: true }),
    'functions[1].idleD3: expected false, "hot" or "cold", got true',
  ],
  [
    fn({ node: {} }),
    "functions[1].node: expected an owner, a group or a mode, got {}",
  ],
  [
    fn({ node: { owner: -1 } }),
    "functions[1].node.owner: expected a user's name or id, got -1",
  ],
  [
    fn({ node: { owner: "a:b" } }),
    'functions[1].node.owner: expected a user\'s name or id, got "a:b"',
  ],
  [
    fn({ node: { mode: 660 } }),
    "functions[1].node.mode: expected permission bits in octal such as " +
    '"0660", got 660',
  ],
  [
    fn({ virtualFunctions: {} }),
    'functions[1].virtualFunctions: expected virtual functions with the key "count", ' +
    "got {}",
  ],
  [
    vfs({ count: -1 }),
    "functions[1].virtualFunctions.count: expected a number from 0 to 65535, " +
    "got -1",
  ],
  [
    vfs({ idleD3: "cold" }),
    'functions[1].virtualFunctions.idleD3: expected false or "hot", got "cold"',
  ],
  [
    vfs({ overrides: { "01": {} } }),
    "functions[1].virtualFunctions.overrides: expected the number of a " +
    'virtual function such as "0", got "01"',
  ],
  [
    vfs({ overrides: { "1": { driver: false } } }),
    'functions[1].virtualFunctions.overrides["1"].driver: expected a name or ' +
    "null, got false",
  ],
  [
    vfs({ overrides: { "1": { count: 1 } } }),
    'functions[1].virtualFunctions.overrides["1"].count: there is no such key',
  ],
  [
    { mediated: [{ uuid: "x", parent: A, type: "a" }] },
    'mediated[0].uuid: expected a UUID, got "x"',
  ],
  [
    { mediated: [{ uuid: UUID, parent: "/sys/class/x", type: "a" }] },
    "mediated[0].parent: expected a path below /sys/devices, " +
    'got "/sys/class/x"',
  ],
  [
    { mediated: [{ uuid: UUID, parent: "/sys/devices/../x", type: "a" }] },
    "mediated[0].parent: expected a path below /sys/devices, " +
    'got "/sys/devices/../x"',
  ],
  [
    { mediated: [{ uuid: UUID, parent: A, type: "a/b" }] },
    'mediated[0].type: expected the name of a type, got "a/b"',
  ],
  [
    { mediated: [{ uuid: UUID, parent: A }] },
    'mediated[0]: expected a mediated device with the key "type", got ' +
    '{"uuid":"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001","parent":"...',
  ],
  [
    { hugePages: [{ size: "2MB", count: 1 }] },
    'hugePages[0].size: expected a size such as "2M", got "2MB"',
  ],
  [
    { hugePages: [{ size: "2M", count: "1" }] },
    'hugePages[0].count: expected a number from 0 on, got "1"',
  ],
  [
    { hugePages: [{ size: "2M", count: 1, node: 0 }] },
    "hugePages[0].node: there is no such key",
  ],
  [
    { memoryLimit: { "a b": "1G" } },
    'memoryLimit: expected the name or the id of a user, got "a b"',
  ],
  [
    { memoryLimit: { qemu: 8 } },
    'memoryLimit["qemu"]: expected a size such as "8G", or "unlimited", got 8',
  ],
];

type Values = Record<string, unknown>;

function isObject(value: unknown): value is Values {
  return typeof value === "object" && value !== null;
}

/** A value and everything in it. */
function leaves(value: unknown): unknown[] {
  return [
    value,
    ...isObject(value) ? Object.values(value).flatMap(leaves) : [],
  ];
}

function parses(state: unknown): boolean {
  try {
    parseState(state);
    return true;
  } catch (error) {
    assertInstanceOf(error, TypeError);
    return false;
  }
}

Deno.test("parseState() returns a state unchanged when it is valid", () => {
  for (const state of [...GOOD, ...documented]) {
    assertStrictEquals(parseState(state), state);
  }
});

Deno.test("parseState() names the place and the problem when the value is not a state", () => {
  for (const [state, message] of BAD) {
    assertEquals(
      assertThrows(() => parseState(state), TypeError).message,
      message,
    );
  }
});

Deno.test("parseState() ignores a key without a value", () => {
  parseState({ functions: undefined, mediated: [] });
  assertThrows(
    () => parseState({ functions: [{ select: undefined }] }),
    TypeError,
    'with the key "select"',
  );
});

Deno.test("schema.json agrees with parseState() on all of these values", () => {
  for (const state of [...GOOD, ...documented]) {
    assert(valid(state), JSON.stringify([state, valid.errors]));
  }
  for (const [state] of BAD) assert(!valid(state), JSON.stringify(state));
});

Deno.test("schema.json agrees with parseState() when states are damaged at random", () => {
  const random = randomNumbers(7);
  const any = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const states = [...GOOD, ...documented];
  const values = [...states, ...BAD.map(([state]) => state)].flatMap(leaves);
  const keys = values.flatMap((value) =>
    isObject(value) ? Object.keys(value) : []
  );
  const judged = { good: 0, bad: 0 };
  for (let i = 0; i < 4000; i++) {
    const state = structuredClone(any(states));
    const place = any(leaves(state).filter(isObject));
    const ownKeys = Object.keys(place);
    const key = ownKeys.length > 0 && random(4) > 0 ? any(ownKeys) : any(keys);
    if (Array.isArray(place)) place.splice(random(2), random(2), any(values));
    else if (random(5) === 0) delete place[key];
    else place[key] = structuredClone(any(values));
    const isValid = valid(state);
    judged[isValid ? "good" : "bad"]++;
    const { errors } = valid;
    if (parses(state) !== isValid) fail(JSON.stringify([state, errors]));
  }
  assert(judged.good > 200 && judged.bad > 200, JSON.stringify(judged));
});

Deno.test("schema.json is stateSchema()", () => {
  assertEquals(schema as unknown, stateSchema());
});

Deno.test("schema.json describes each key that a state can have", () => {
  assertEquals(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assertEquals(
    Object.keys(schema.properties.functions.items.properties),
    [
      "select",
      "pin",
      "driver",
      "group",
      "virtualFunctions",
      "reset",
      "idleD3",
      "rom",
      "node",
      "interrupts",
    ],
  );
});

Deno.test("the documentation of provisioning has states", () => {
  assert(documented.length >= 3);
});

Deno.test("parseState() refuses one MAC address for two virtual functions", () => {
  const state = (first: string, second: string) => ({
    functions: [["0000:02:00.0", first], ["0000:03:00.0", second]].map(
      ([select, mac]) => ({
        select,
        virtualFunctions: { count: 1, overrides: { "0": { mac } } },
      }),
    ),
  });
  parseState(state("52:54:00:12:34:56", "52:54:00:12:34:57"));
  assertThrows(
    () => parseState(state("52:54:00:12:34:5a", "52:54:00:12:34:5A")),
    TypeError,
    'functions[1].virtualFunctions.overrides["0"].mac: expected another MAC ' +
      'address than that of functions[0].virtualFunctions.overrides["0"]',
  );
});

Deno.test("parseState() quotes a part of a value that stands for many", () => {
  let value: unknown = "x";
  for (let i = 0; i < 40; i++) value = Array(9).fill(value);
  const { message } = assertThrows(
    () => parseState({ functions: [{ select: value }] }),
    TypeError,
  );
  assertEquals(message.length < 200, true, message);
});
