import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { simulate } from "../../../lib/sim/host.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };

for (
  const [what, recording, message] of [
    ["a list", [], "the recording: expected an object, got []"],
    ["an unknown key", { funktions: {} }, 'did you mean "functions"?'],
    [
      "an unknown key of a function",
      { functions: { "0000:01:00.0": { dirver: "x" } } },
      'functions["0000:01:00.0"].dirver: there is no such key; did you mean ' +
      '"driver"?',
    ],
    [
      "a group that is no number",
      { functions: { "0000:01:00.0": { group: "../../x" } } },
      'functions["0000:01:00.0"].group: expected the number of a group or null',
    ],
    [
      "control characters in a driver's name",
      { functions: { "0000:01:00.0": { driver: "\x1b[8m" } } },
      'functions["0000:01:00.0"].driver: expected',
    ],
    [
      "a virtual function in the place of the physical one",
      {
        functions: {
          "0000:01:00.0": {
            id: "8086:10c9",
            sriov: { total: 4, enabled: 1, id: "8086:10ca", offset: 0 },
          },
        },
      },
      'functions["0000:01:00.0"].sriov.offset: expected 1 or more, got 0',
    ],
    [
      "a function behind itself",
      {
        functions: {
          "0000:01:00.0": { id: "8086:10d3", behind: "0000:02:00.0" },
          "0000:02:00.0": { id: "8086:10d3", behind: "0000:01:00.0" },
        },
      },
      'functions["0000:01:00.0"].behind: expected a bridge that is not behind',
    ],
    ["a path that leads up", { files: { "/../x": "" } }, "files: expected"],
    [
      "a link to a relative path",
      { files: { "/etc/x": { link: "../y" } } },
      'files["/etc/x"]: expected a text or a link, got',
    ],
    [
      "reserved memory that ends before it begins",
      { functions: { [A]: { ...NIC, reserved: ["0xffff 0x0 direct"] } } },
      `functions["${A}"].reserved[0]: expected reserved memory`,
    ],
    [
      "a BAR that is malformed",
      { functions: { [A]: { ...NIC, bars: ["4K", "3K"] } } },
      `functions["${A}"].bars[1]: expected a BAR of a power of two`,
    ],
    [
      "a ROM that is malformed",
      { functions: { [A]: { ...NIC, rom: "x" } } },
      `functions["${A}"].rom: expected a BAR`,
    ],
    [
      "a BAR that is not aligned",
      { functions: { [A]: { ...NIC, bars: ["4K at 0x1"] } } },
      `functions["${A}"].bars[0]: expected an address that is a multiple`,
    ],
    [
      "two BARs in one place",
      {
        functions: {
          [A]: { ...NIC, bars: ["4K at 0xfe001000"] },
          [B]: { ...NIC, bars: [null, "8K at 0xfe000000"] },
        },
      },
      `functions["${A}"].bars[0]: expected a BAR that is not where ` +
      `functions["${B}"].bars[1] is`,
    ],
    [
      "a BAR in the place of those of virtual functions",
      {
        functions: {
          [A]: {
            ...NIC,
            sriov: {
              total: 4,
              id: "8086:10ca",
              bars: ["16K at 0xfe000000"],
            },
          },
          [B]: { ...NIC, bars: ["4K at 0xfe00f000"] },
        },
      },
      `functions["${B}"].bars[0]: expected a BAR that is not where ` +
      `functions["${A}"].sriov.bars[0] is`,
    ],
    [
      "a function in the place of a virtual one",
      {
        functions: {
          [A]: {
            ...NIC,
            sriov: { total: 4, enabled: 1, id: "8086:10ca", offset: 256 },
          },
          [B]: NIC,
        },
      },
      `functions["${B}"].id: a virtual function of ${A} is there`,
    ],
    [
      "virtual functions of two functions in one place",
      {
        functions: Object.fromEntries(
          [[A, 256], ["0000:01:00.1", 255]].map(([address, offset]) => [
            address,
            {
              ...NIC,
              sriov: { total: 1, enabled: 1, id: "8086:10ca", offset },
            },
          ]),
        ),
      },
      `functions["0000:01:00.1"].sriov: its virtual function 0 is at ${B}, ` +
      `and so is one of ${A}`,
    ],
    [
      "virtual functions beyond the last bus",
      {
        functions: {
          [A]: {
            ...NIC,
            sriov: { total: 65535, enabled: 65535, id: "8086:10ca" },
          },
        },
      },
      `functions["${A}"].sriov.enabled: expected virtual functions on buses`,
    ],
    [
      "a function behind a virtual one",
      {
        functions: {
          [A]: {
            ...NIC,
            sriov: { total: 1, enabled: 1, id: "8086:10ca", offset: 256 },
          },
          "0000:03:00.0": { ...NIC, behind: B },
        },
      },
      'functions["0000:03:00.0"].behind: expected a bridge, and no virtual',
    ],
    [
      "two network interfaces of one name",
      {
        functions: {
          [A]: { ...NIC, network: "eth0" },
          [B]: { ...NIC, network: "eth0" },
        },
      },
      `functions["${B}"].network: expected another name than that of ${A}`,
    ],
    [
      "an id of a driver that is malformed",
      { drivers: { e1000e: { ids: ["../x"] } } },
      'drivers["e1000e"]: expected a driver or false, got',
    ],
    [
      "a model that is none",
      { functions: { [A]: { model: 5 } } },
      `functions["${A}"].model: expected a model or the name of one, got 5`,
    ],
  ] as const
) {
  Deno.test(`simulate() says where a recording has ${what}`, () => {
    const { message: thrown } = assertThrows(
      () => simulate(recording as unknown as Topology),
      TypeError,
    );
    assertStringIncludes(thrown, message);
    assertEquals(thrown.includes("\n"), false);
  });
}
