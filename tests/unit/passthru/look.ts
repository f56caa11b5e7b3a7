import { simulate } from "../../../lib/sim/mod.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import { call, json } from "../passthru_bench.ts";

const PCI_IDS = `8086  Intel Corporation
\t10d3  82574L Gigabit Network Connection
C 02  Network controller
\t00  Ethernet controller
C 01  Mass storage controller
\t08  Non-Volatile memory controller
\t\t02  NVM Express
`;

const HOST: Topology = {
  functions: {
    "0000:01:00.0": {
      id: "8086:10d3",
      subsystem: "8086:a01f",
      class: 0x020000,
      driver: "e1000e",
      group: 12,
      bars: ["128K", null, "32 io"],
      reset: ["flr", "bus"],
      numaNode: 1,
    },
    "0000:01:00.1": {
      id: "1234:5678",
      class: 0x010802,
      driver: "nvme",
      group: 12,
    },
    "0000:02:00.0": { id: "1af4:1041", driver: "vfio-pci", group: 13 },
    "0001:00:00.0": { id: "1af4:1042", class: 0x550000, group: null },
  },
  files: { "/usr/share/misc/pci.ids": PCI_IDS },
};

/** The same without an IOMMU, where no VFIO driver takes a function. */
const WITHOUT: Topology = {
  ...HOST,
  iommu: "none",
  functions: { "0000:01:00.0": { id: "8086:10d3" } },
};

Deno.test("passthru list writes each function in its documented shape when it writes JSON", async () => {
  const shown = await json(HOST, ["list"]);
  assertEquals(shown[0], {
    address: "0000:01:00.0",
    vendor: "8086",
    device: "10d3",
    class: "020000",
    vendorName: "Intel Corporation",
    deviceName: "82574L Gigabit Network Connection",
    className: "Ethernet controller",
    driver: "e1000e",
    iommuGroup: 12,
  });
  assertEquals(shown.at(-1), {
    address: "0001:00:00.0",
    vendor: "1af4",
    device: "1042",
    class: shown.at(-1).class,
    vendorName: null,
    deviceName: null,
    className: null,
    driver: null,
    iommuGroup: null,
  });
});

Deno.test("passthru list writes a table", async () => {
  const { code, out, err } = await call(HOST, ["list"]);
  assertEquals([code, err], [0, ""]);
  assertEquals(out.split("\n").slice(0, 3), [
    "ADDRESS       ID         GROUP  DRIVER    DEVICE",
    "0000:01:00.0  8086:10d3  12     e1000e    Ethernet controller: " +
    "Intel Corporation 82574L Gigabit Network Connection",
    "0000:01:00.1  1234:5678  12     nvme      " +
    "Non-Volatile memory controller: vendor 1234 device 5678",
  ]);
});

Deno.test("passthru list shortens names, and no address, when the terminal is narrow", async () => {
  for (const width of [60, 80, 100]) {
    const { out } = await call(HOST, ["list"], { width });
    const lines = out.trimEnd().split("\n");
    for (const line of lines) assert(line.length <= width, line);
    assertMatch(lines[1]!, /^0000:01:00\.0 +8086:10d3 +12 +e1000e .*…$/);
  }
});

Deno.test("passthru list lists only matching functions when there are filters", async () => {
  const addresses = async (...argv: string[]) =>
    (await json(HOST, ["list", ...argv]))
      .map(({ address }: { address: string }) => address);
  assertEquals(await addresses("--driver", "vfio-pci"), ["0000:02:00.0"]);
  assertEquals(await addresses("--driver", "none"), ["0001:00:00.0"]);
  assertEquals(await addresses("--class", "0108"), ["0000:01:00.1"]);
  assertEquals(await addresses("--class", "ETHERNET"), ["0000:01:00.0"]);
  assertEquals(await addresses("--class", "03"), []);
});

Deno.test("passthru show writes everything in its documented shape when it writes JSON", async () => {
  const shown = await json(HOST, ["show", "01:00.0"]);
  assertEquals(Object.keys(shown), [
    "address",
    "vendor",
    "device",
    "class",
    "vendorName",
    "deviceName",
    "className",
    "driver",
    "iommuGroup",
    "subsystemVendor",
    "subsystemDevice",
    "revision",
    "path",
    "driverOverride",
    "numaNode",
    "groupMembers",
    "viable",
    "obstacles",
    "remedy",
    "uses",
    "noGroup",
    "bars",
    "resetMethods",
    "hotReset",
    "physicalFunction",
    "virtualFunctions",
    "nodes",
    "openers",
    "unknown",
  ]);
  assertEquals(shown.subsystemDevice, "a01f");
  assertEquals(shown.groupMembers, ["0000:01:00.0", "0000:01:00.1"]);
  assertEquals(shown.viable, false);
  assertEquals(shown.obstacles[1], {
    device: "0000:01:00.1",
    driver: "nvme",
    remedy: "leave 0000:01:00.1 without a driver: " +
      "passthru bind 0000:01:00.1 none",
  });
  assertEquals(
    shown.remedy,
    "take all of the group: passthru bind 0000:01:00.0 --whole-group",
  );
  assertEquals(
    shown.bars.map(({ index, kind, size }: Record<string, unknown>) => [
      index,
      kind,
      size,
    ]),
    [[0, "memory", 131072], [2, "io", 32]],
  );
});

Deno.test("passthru show names the processes that use a function, and its nodes", async () => {
  const host = simulate(HOST);
  const { nodes } = await json(host, ["show", "02:00.0"]);
  assertEquals(nodes, ["/dev/vfio/13", "/dev/vfio/devices/vfio0"]);
  const { out } = await call(host, ["show", "02:00.0"]);
  assertMatch(out, /^driver +vfio-pci$/m);
  assertMatch(out, /^group +13, viable, alone$/m);
});

Deno.test("passthru show says why a function has no group when it has none", async () => {
  const { out } = await call(WITHOUT, ["show", "01:00.0"]);
  assertMatch(out, /^group +none: it has no IOMMU group: .*\n +hint: /m);
});

Deno.test("passthru groups says why a group cannot be used", async () => {
  const shown = await json(HOST, ["groups"]);
  assertEquals(
    shown.map(({ id, viable }: Record<string, unknown>) => [id, viable]),
    [[12, false], [13, true]],
  );
  assertEquals(shown[0].devices.length, 2);
  const { out } = await call(HOST, ["groups", "12"], { width: 80 });
  assertStringIncludes(out, "group 12  not viable  DMA");
  assertStringIncludes(
    out,
    "  take all of the group: passthru bind 0000:01:00.0 --whole-group\n",
  );
  assertEquals(out.includes("group 13"), false);
});

Deno.test("passthru groups says how to get groups when there are none", async () => {
  const { code, err } = await call(WITHOUT, ["groups"]);
  assertEquals(code, 0);
  assertStringIncludes(err, "There are no IOMMU groups\nhint: ");
  assertEquals(await json(WITHOUT, ["groups"]), []);
});

Deno.test("passthru snapshot writes what simulate() takes", async () => {
  const { out } = await call(HOST, ["snapshot"]);
  const again = simulate(JSON.parse(out));
  assertEquals((await call(again, ["snapshot"])).out, out);
});

Deno.test("passthru dump decodes the config space of a function", async () => {
  const shown = await json(HOST, ["dump", "02:00.0"]);
  assertEquals(shown.header.vendor, "1af4");
  assertEquals(
    shown.capabilities.map(({ name }: { name: string }) => name).slice(0, 1),
    ["Express"],
  );
  const { out } = await call(HOST, ["dump", "02:00.0"]);
  assertStringIncludes(out, "bus master-");
  assertMatch(out, /^ {2}\[40\] Express$/m);
});

Deno.test("passthru dump writes a dump for lspci when --hex is given", async () => {
  const { out } = await call(HOST, ["dump", "01:00.0", "--hex"]);
  assertStringIncludes(out, "\n00: 86 80 d3 10 ");
  assertStringIncludes(out, "\nff0: 00 ");
});

Deno.test("passthru breaks its lines at words when the terminal is narrow", async () => {
  const functions = Object.fromEntries(
    Array.from({ length: 12 }, (_, i): [string, FunctionTopology] => [
      `0000:01:00.${i % 8}`.replace("01", i < 8 ? "01" : "02"),
      { id: "8086:10d3", class: 0x020000, driver: "e1000e", group: 1 },
    ]),
  );
  const host = { functions };
  const files = { "s.json": '{"memoryLimit":{"2000":"1G"}}' };
  for (
    const [argv, words] of [
      [["show", "01:00.0"], "passthru bind 0000:01:00.0 --whole-group"],
      [["groups"], "passthru bind 0000:01:00.0 --whole-group"],
      [["plan", "s.json"], "user 2000 may lock 1G"],
      [
        ["bind", "01:00.0"],
        "passthru bind 0000:01:00.0 vfio-pci --whole-group",
      ],
      [
        ["bind", "01:00.0", "--whole-group", "--dry-run"],
        "0000:01:00.0: e1000e has it",
      ],
    ] as const
  ) {
    const wide = await call(host, argv, { files });
    // A path is not broken.
    const width = argv[0] === "plan" ? 60 : 44;
    const { out, err } = await call(host, argv, { files, width });
    const lines = `${out}${err}`.split("\n");
    for (const line of lines) assert(line.length <= width, line);
    // Names are shortened instead.
    const flat = (text: string) =>
      text.replace(/\s+/g, " ").replace(
        /Ethernet(?: controller: vendor 8086 device 10d3|[^…]*…)/g,
        "",
      );
    assertEquals(flat(out + err), flat(wide.out + wide.err));
    assertStringIncludes(flat(out + err), words);
  }
});

Deno.test("passthru dump decodes a posted text", async () => {
  const header = (id: string) =>
    `00: 86 80 ${id} 10 00 00 00 00 00 00 00 02 00 00 00 00\n` +
    [1, 2, 3].map((row) => `${row}0:${" 00".repeat(16)}\n`).join("");
  const files = {
    "post.txt": `01:00.0 Ethernet controller: one\n${header("d3")}\n` +
      `02:00.0 Ethernet controller: two\n${header("c9")}`,
    "short.txt": "01:00.0 x\n00: 86 80\n",
    "none.txt": "hello\n",
  };
  const run = (...argv: string[]) => call(HOST, ["dump", ...argv], { files });
  const all = JSON.parse((await run("post.txt", "--json")).out);
  assertEquals(
    all.map(({ address, header }: {
      address: string;
      header: { device: string };
    }) => [address, header.device]),
    [["0000:01:00.0", "10d3"], ["0000:02:00.0", "10c9"]],
  );
  const { out } = await run("post.txt", "02:00.0");
  assertMatch(out, /^0000:02:00.0 Ethernet controller: two\n {2}vendor 8086/);
  assertEquals((await run("post.txt", "03:00.0")).code, 2);
  assertStringIncludes((await run("short.txt")).err, "has 2 bytes of");
  assertStringIncludes((await run("none.txt")).err, "neither an address");
});
