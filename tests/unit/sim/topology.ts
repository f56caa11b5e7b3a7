import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { simulate } from "../../../lib/sim/host.ts";
import { explainNoGroup } from "../../../lib/host/iommu/no_iommu.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { DeviceKind } from "../../../lib/sim/models/model.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";

const hex = (n: number) => n.toString(16).padStart(2, "0");

const A = "0000:01:00.0";
const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };

/** The group of each function. */
function groups(topology: Topology): Record<string, string | undefined> {
  return Object.fromEntries(
    simulate(topology).functions()
      .map((fn) => [fn.address, fn.iommuGroup?.id]),
  );
}

Deno.test("simulate() makes an empty host when the topology is empty", () => {
  const host = simulate();
  assertEquals(host.functions(), []);
  assertEquals(host.groups(), []);
  assertEquals(host.kernel.readdir("/dev"), ["iommu", "kvm", "vfio"]);
});

Deno.test("simulate() makes a function with all that the topology has", () => {
  const host = simulate({
    functions: {
      [A]: {
        ...NIC,
        subsystem: "8086:a01f",
        revision: 3,
        driver: "e1000e",
        override: "e1000e",
        numaNode: 1,
        group: 12,
        bars: [
          "128K",
          "32 io",
          "8G 64bit prefetchable",
          null,
          "4K at 0xfe0000",
        ],
        rom: "64K",
        reset: ["pm", "bus"],
      },
    },
  });
  const fn = host.function(A);
  assertEquals(
    [fn.vendor, fn.device, fn.subsystemVendor, fn.subsystemDevice],
    [0x8086, 0x10d3, 0x8086, 0xa01f],
  );
  assertEquals([fn.class, fn.revision, fn.numaNode], [0x020000, 3, 1]);
  assertEquals([fn.driver, fn.driverOverride], ["e1000e", "e1000e"]);
  assertEquals(
    fn.modalias,
    "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00",
  );
  assertEquals(fn.iommuGroup?.id, "12");
  assertEquals(fn.iommuGroup?.type, "DMA-FQ");
  assertEquals(fn.resetMethods, ["pm", "bus"]);
  assertEquals(
    fn.bars.map((
      { index, kind, size, is64bit, prefetchable },
    ) => [index, kind, size, is64bit, prefetchable]),
    [
      [0, "memory", 2 ** 17, false, false],
      [1, "io", 32, false, false],
      [2, "memory", 2 ** 33, true, true],
      [4, "memory", 4096, false, false],
    ],
  );
  for (const { start, size } of fn.bars) assertEquals(start % BigInt(size), 0n);
  assertEquals(fn.bars[3]?.start, 0xfe0000n);
});

Deno.test("simulate() uses a model's ids, BARs and resets when it is named", () => {
  const fn = simulate({ functions: { [A]: { model: "edu" } } })
    .function(A);
  assertEquals([fn.vendor, fn.device, fn.class], [0x1234, 0x11e8, 0xff00]);
  assertEquals(fn.bars.map(({ size }) => size), [2 ** 20]);
  assertEquals(fn.resetMethods, []);
});

Deno.test("simulate() accepts a model of the caller", () => {
  const model: DeviceKind = {
    name: "toaster",
    id: "cafe:0001",
    class: 0x118000,
    resets: ["flr"],
    create: () => ({ bars: [], msi: 0, msix: 0, intx: false, reset() {} }),
  };
  const fn = simulate({ functions: { [A]: { model } } }).function(A);
  assertEquals([fn.vendor, fn.class], [0xcafe, 0x118000]);
  assertEquals(fn.resetMethods, ["flr"]);
});

Deno.test("simulate() puts functions behind bridges when these are named", () => {
  const host = simulate({
    functions: {
      [A]: { ...NIC, behind: "0000:00:1c.0" },
      "0000:02:00.0": NIC,
    },
  });
  assertEquals(
    host.functions().map(({ path, driver }) => [path, driver]),
    [
      ["/sys/devices/pci0000:00/0000:00:1c.0", "pcieport"],
      [`/sys/devices/pci0000:00/0000:00:1c.0/${A}`, undefined],
      ["/sys/devices/pci0000:02/0000:02:00.0", undefined],
    ],
  );
  assertEquals(
    host.kernel.readlink(`/sys/bus/pci/devices/${A}`),
    `../../../devices/pci0000:00/0000:00:1c.0/${A}`,
  );
});

Deno.test("simulate() puts a function behind a bridge of a higher address", () => {
  const host = simulate({
    functions: {
      [A]: { ...NIC, behind: "0000:07:00.0" },
      "0000:07:00.0": { id: "8086:a110", class: 0x060400 },
    },
  });
  assertEquals(
    host.function(A).path,
    `/sys/devices/pci0000:07/0000:07:00.0/${A}`,
  );
});

Deno.test("simulate() groups functions like an IOMMU", () => {
  const bridge = { id: "8086:244e", class: 0x060400 };
  assertEquals(
    groups({
      functions: {
        // a slot without ACS, and one with
        "0000:00:03.0": NIC,
        "0000:00:03.1": NIC,
        "0000:00:04.0": { ...NIC, acs: true },
        "0000:00:04.1": { ...NIC, acs: true },
        // ports, and functions behind them
        "0000:00:1c.0": bridge,
        "0000:00:1c.1": bridge,
        "0000:01:00.0": { ...NIC, behind: "0000:00:1c.0" },
        // a conventional bridge and everything behind it
        "0000:00:1e.0": { ...bridge, conventional: true },
        "0000:05:00.0": { ...NIC, behind: "0000:00:1e.0" },
        "0000:05:01.0": { ...NIC, behind: "0000:00:1e.0" },
        // given explicitly
        "0000:00:1f.0": { ...NIC, group: 1 },
        "0000:00:1f.1": { ...NIC, group: null },
      },
    }),
    {
      "0000:00:03.0": "0",
      "0000:00:03.1": "0",
      "0000:00:04.0": "2",
      "0000:00:04.1": "3",
      "0000:00:1c.0": "4",
      "0000:00:1c.1": "5",
      "0000:00:1e.0": "6",
      "0000:00:1f.0": "1",
      "0000:00:1f.1": undefined,
      "0000:01:00.0": "7",
      "0000:05:00.0": "6",
      "0000:05:01.0": "6",
    },
  );
});

Deno.test("simulate() has no groups when it has no IOMMU", () => {
  const host = simulate({ iommu: "none", functions: { [A]: NIC } });
  assertEquals(host.function(A).iommuGroup, undefined);
  assertStringIncludes(explainNoGroup(host.function(A)).problem, "VT-d");
  assertEquals(host.kernel.readdir("/sys/class/iommu"), []);
});

Deno.test("simulate() names the IOMMU by its vendor", () => {
  for (
    const [iommu, unit, table] of [
      ["intel", "dmar0", "DMAR"],
      ["amd", "ivhd0", "IVRS"],
      // The name of the function that it is.
      ["virtio", "0000:00:1b.0", "VIOT"],
    ] as const
  ) {
    const { kernel } = simulate({ iommu, functions: { [A]: NIC } });
    assertEquals(kernel.readdir("/sys/class/iommu"), [unit]);
    assertEquals(kernel.readdir(`/sys/class/iommu/${unit}/devices`), [A]);
    assertEquals(kernel.readdir("/sys/firmware/acpi/tables"), [table]);
  }
});

Deno.test("simulate() makes the nodes that its kernel has", () => {
  const functions = { [A]: { model: "edu", driver: "vfio-pci" } };
  const nodes = (topology: Topology) => {
    const { kernel } = simulate({ ...topology, functions });
    return [kernel.readdir("/dev"), kernel.readdir("/dev/vfio")];
  };
  assertEquals(nodes({}), [["iommu", "kvm", "vfio"], ["0", "devices", "vfio"]]);
  assertEquals(nodes({ kernel: { release: "6.1.0-13-amd64" } }), [
    ["kvm", "vfio"],
    ["0", "vfio"],
  ]);
  assertEquals(
    nodes({ kernel: { release: "6.12.1", iommufd: false } })[0],
    ["kvm", "vfio"],
  );
  assertEquals(
    nodes({ iommu: "none", kernel: { unsafeNoIommu: true } })[1],
    ["devices", "noiommu-0", "vfio"],
  );
});

Deno.test("simulate() creates virtual functions when they are enabled", () => {
  const PF = "0000:04:00.0";
  const host = simulate({
    functions: {
      [PF]: {
        id: "8086:10c9",
        class: 0x020000,
        driver: "igb",
        behind: "0000:00:1c.0",
        sriov: {
          total: 7,
          enabled: 3,
          id: "8086:10ca",
          driver: "igbvf",
          bars: ["16K 64bit prefetchable", null, null, "16K 64bit"],
        },
      },
      "0000:04:10.2": { driver: "vfio-pci", group: 77 },
      "0000:04:10.4": { driver: null },
    },
  });
  const fns = host.function(PF).virtualFunctions;
  assertEquals(
    fns.map((fn) => [fn.address, fn.device, fn.driver, fn.iommuGroup?.id]),
    [
      ["0000:04:10.0", 0x10ca, "igbvf", "2"],
      ["0000:04:10.2", 0x10ca, "vfio-pci", "77"],
      ["0000:04:10.4", 0x10ca, undefined, "3"],
    ],
  );
  assertEquals(fns[1]?.path.split("/").at(-2), "0000:00:1c.0");
  const starts = fns.map(({ bars }) => bars.map(({ start }) => start));
  assertEquals(starts[1]?.[0]! - starts[0]?.[0]!, 16384n);
  assertEquals(starts[0]?.length, 2);
});

Deno.test("simulate() creates mediated devices when they are named", () => {
  const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const host = simulate({
    functions: { "0000:00:02.0": { id: "8086:5917", driver: "i915" } },
    mediatedTypes: { "0000:00:02.0": { "i915-GVTg_V5_4": { instances: 2 } } },
    mediated: {
      [UUID]: { parent: "0000:00:02.0", type: "i915-GVTg_V5_4" },
      "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002": {
        parent: "/sys/devices/virtual/mtty/mtty",
        type: "mtty-1",
      },
    },
  });
  const mdev = host.find(`/sys/bus/mdev/devices/${UUID}`);
  assertEquals(mdev.path, `/sys/devices/pci0000:00/0000:00:02.0/${UUID}`);
  assertEquals([mdev.bus, mdev.driver], ["mdev", "i915"]);
  assertEquals(mdev.iommuGroup?.name, "vfio-noiommu");
  assertEquals(host.kernel.readdir("/sys/bus/mdev/drivers"), ["i915", "mtty"]);
  assertEquals(host.kernel.readdir("/sys/class/mdev_bus"), [
    "0000:00:02.0",
    "mtty",
  ]);
});

Deno.test("simulate() makes the files of the topology", () => {
  const { kernel } = simulate({
    files: {
      "/proc/mounts": "/dev/sda1 / ext4 rw 0 0\n",
      "/etc/x/y": "z",
      "/sys/class/net/eth0": { link: "/sys/devices/virtual/net/eth0" },
      "/sys/devices/virtual/net/eth0/flags": "0x1003\n",
    },
  });
  assertEquals(kernel.readFile("/proc/mounts"), "/dev/sda1 / ext4 rw 0 0\n");
  assertEquals(kernel.readdir("/etc/x"), ["y"]);
  assertEquals(
    kernel.readlink("/sys/class/net/eth0"),
    "../../devices/virtual/net/eth0",
  );
  assertEquals(kernel.readFile("/sys/class/net/eth0/flags"), "0x1003\n");
  kernel.writeFile("/etc/x/y", "more");
  assertEquals(kernel.readFile("/etc/x/y"), "more");
  assert(kernel.readdir("/proc").includes("self"));
});

for (
  const [what, topology, message] of [
    ["an address is malformed", { functions: { "01:00.0": NIC } }, '"01:00.0"'],
    ["an address is upper case", { functions: { "0000:0A:00.0": NIC } }, "0A"],
    [
      "a function has no id",
      { functions: { [A]: {} } },
      "neither an id nor a model",
    ],
    ["an id is malformed", { functions: { [A]: { id: "8086" } } }, '"8086"'],
    ["a model is unknown", { functions: { [A]: { model: "x" } } }, '"edu"'],
    [
      "a BAR is malformed",
      { functions: { [A]: { ...NIC, bars: ["3K"] } } },
      '"3K"',
    ],
    [
      "a 64-bit BAR has no room",
      { functions: { [A]: { ...NIC, bars: ["4K 64bit", "4K"] } } },
      "null after one of 64 bits",
    ],
    [
      "a function is behind another that is not a bridge",
      {
        functions: {
          [A]: { ...NIC, behind: "0000:00:01.0" },
          "0000:00:01.0": NIC,
        },
      },
      "neither a bridge",
    ],
    [
      "a domain is behind a function without a driver",
      {
        functions: {
          "10000:e1:00.0": { ...NIC, behind: "0000:00:0e.0" },
          "0000:00:0e.0": NIC,
        },
      },
      "that has no driver",
    ],
    [
      "reserved memory is malformed",
      { functions: { [A]: { ...NIC, reserved: ["0x0 0xfff msi"] } } },
      '"0x0 0xfff msi"',
    ],
    [
      "VFIO would refuse the function",
      { iommu: "none", functions: { [A]: { ...NIC, driver: "vfio-pci" } } },
      "the kernel answers EINVAL",
    ],
    [
      "a function's driver does not exist",
      {
        functions: { [A]: { ...NIC, driver: "vfio-pci" } },
        drivers: { "vfio-pci": false },
      },
      "the kernel answers ENOENT",
    ],
    [
      "a function has too many virtual functions",
      {
        functions: {
          [A]: { ...NIC, sriov: { total: 2, enabled: 3, id: "8086:0001" } },
        },
      },
      "sriov.enabled: expected 2 at most, got 3",
    ],
    [
      "a mediated device has no parent",
      {
        mediated: {
          "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001": {
            parent: "0000:0f:00.0",
            type: "a-b",
          },
        },
      },
      "makes mediated devices",
    ],
    ["a size of huge pages is malformed", { hugePages: { "2MB": 1 } }, '"2MB"'],
    ["the recording is newer", { version: 2 }, "version 2"],
  ] as [string, Topology, string][]
) {
  Deno.test(`simulate() throws a TypeError when ${what}`, () => {
    assertThrows(() => simulate(topology), TypeError, message);
  });
}

function listOf(ports: number) {
  const functions = Object.fromEntries(
    Array.from({ length: 256 * ports }, (_, i) => [
      `0000:${hex(1 + (i >> 8))}:${hex(i >> 3 & 0x1f)}.${i & 7}`,
      { ...NIC, driver: "e1000e", behind: `0000:00:${hex(1 + (i >> 8))}.0` },
    ]),
  );
  const { machine } = simulate({ functions });
  let calls = 0;
  const kernel = intercept(machine.spawn(), (_, proceed) => {
    calls++;
    return proceed();
  });
  const listed = new Host({ kernel }).functions().map((fn) => [
    fn.address,
    fn.vendor,
    fn.device,
    fn.driver,
    fn.iommuGroup?.id,
  ]);
  return { listed, calls };
}

Deno.test("Host.functions() makes the same calls for each function when there are many", () => {
  const [few, many] = [listOf(1), listOf(4)];
  assertEquals(many.listed.length, 1024 + 4);
  assertEquals(
    many.listed[4 + 8],
    ["0000:01:01.0", 0x8086, 0x10d3, "e1000e", "5"],
  );
  // A port takes fewer calls than a function behind it.
  const each = few.calls / few.listed.length;
  assertLessOrEqual(many.calls / many.listed.length, each * 1.01);
});

Deno.test("simulate() makes and removes a domain with its driver", async () => {
  const MAKER = "0000:00:0e.0";
  const host = simulate({
    functions: {
      [MAKER]: { id: "8086:a77f", class: 0x010400, driver: "vmd" },
      "10000:e0:06.0": { id: "8086:a74d", class: 0x060400, behind: MAKER },
      "10000:e1:00.0": {
        id: "15b7:5015",
        class: 0x010802,
        behind: "10000:e0:06.0",
        driver: "nvme",
      },
    },
  });
  const { kernel } = host;
  const DRIVER = "/sys/bus/pci/drivers/vmd";
  const listed = () => host.functions().map((fn) => [fn.path, fn.driver]);
  const before = listed();
  assertEquals(host.function(MAKER).iommuGroup!.devices.length, 3);
  await kernel.writeFileAsync(`${DRIVER}/unbind`, MAKER);
  assertEquals(listed(), [[`/sys/devices/pci0000:00/${MAKER}`, undefined]]);
  assertEquals(host.function(MAKER).iommuGroup!.devices.length, 1);
  await kernel.writeFileAsync(`${DRIVER}/bind`, MAKER);
  assertEquals(listed(), before);
});

Deno.test("simulate() merges reserved memory when it is adjacent", () => {
  const reserved = [
    "0x3000 0x3fff direct",
    "0x1000 0x1fff direct",
    "0x2000 0x2fff direct",
    "0x2000 0x2fff direct-relaxable",
    "0x9000 0x9fff direct",
  ];
  const host = simulate({
    functions: { [A]: { ...NIC, reserved } },
  });
  const [group] = host.groups();
  assertEquals(
    host.kernel.readFile(`${group!.path}/reserved_regions`),
    "0x0000000000001000 0x0000000000003fff direct\n" +
      "0x0000000000002000 0x0000000000002fff direct-relaxable\n" +
      "0x0000000000009000 0x0000000000009fff direct\n" +
      "0x00000000fee00000 0x00000000feefffff msi\n",
  );
});
