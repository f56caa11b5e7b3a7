import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import { nodePaths, vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { PciFunction } from "../../../lib/host/pci/function.ts";
import { lendPciIds } from "../../../lib/host/pci/ids.ts";
import {
  isVfioDriver,
  standsInTheWay,
} from "../../../lib/host/driver/vfio_driver.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { FunctionTopology } from "../../../lib/sim/machine/topology.ts";

const A = "0000:00:03.0";
const B = "0000:00:03.1";
const MDEV = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };

/** A host with functions, which are network cards by default. */
function setUp(
  functions: Record<string, FunctionTopology>,
  files: Record<string, string> = {},
): SimulatedHost {
  return simulate({
    functions: Object.fromEntries(
      Object.entries(functions).map(([address, what]) => [
        address,
        { ...NIC, ...what },
      ]),
    ),
    files,
  });
}

function code(action: () => unknown): string {
  return assertThrows(action, VfioError).code;
}

Deno.test("Host.functions() reads only the link of each function", () => {
  const slots = Array.from(
    { length: 32 },
    (_, slot) => `0000:00:${slot.toString(16).padStart(2, "0")}.0`,
  );
  const simulated = setUp(
    Object.fromEntries(slots.reverse().map((address) => [address, {}])),
  );
  const methods: string[] = [];
  const kernel = intercept(simulated.kernel, ({ method }, proceed) => {
    methods.push(method);
    return proceed();
  });
  const functions = new Host({ kernel }).functions();
  assertEquals(functions.length, 32);
  assertEquals(functions[3]?.address, A);
  assertEquals(methods, ["readdir", ...Array(32).fill("readlink")]);
});

Deno.test("Host.functions() is empty when the host has no PCI", () => {
  assertEquals(setUp({}).functions(), []);
});

Deno.test("Host.function() accepts an address with and without a domain", () => {
  const host = setUp({ [A]: {} });
  assertEquals(host.function("00:03.0").address, A);
  assertEquals(host.function(A).path, `/sys/devices/pci0000:00/${A}`);
});

Deno.test("Host.function() throws when the address is malformed or there is no function", () => {
  const host = setUp({});
  assertThrows(() => host.function("03"), TypeError, '"03"');
  assertEquals(code(() => host.function(A)), "DEVICE_NOT_FOUND");
});

Deno.test("Host.find() follows links to a device on any bus", () => {
  const host = simulate({
    functions: { [A]: NIC },
    mediated: { [MDEV]: { parent: A, type: "i915-GVTg_V5_4" } },
  });
  const path = `/sys/devices/pci0000:00/${A}/${MDEV}`;
  const mdev = host.find(`/sys/bus/mdev/devices/${MDEV}`);
  assertEquals(mdev.path, path);
  assertEquals(mdev.bus, "mdev");
  assertEquals(mdev.name, MDEV);
  // through a link in the middle
  assertEquals(host.find(`/sys/bus/pci/devices/${A}/${MDEV}/`).path, path);
  assertInstanceOf(host.find(`/sys/bus/pci/devices/${A}`), PciFunction);
});

Deno.test("Host.find() returns its own devices unchanged, and finds another host's", () => {
  const host = setUp({ [A]: {} });
  const device = host.find(A);
  assertStrictEquals(host.find(device), device);
  const other = new Host(host).find(device);
  assert(other !== device);
  assertEquals(other.path, device.path);
});

Deno.test("Host.find() throws when the argument is not a device", () => {
  const host = setUp({ [A]: { driver: "vfio-pci" } }, { "/etc/passwd": "" });
  const vfio = `/sys/devices/pci0000:00/${A}/vfio-dev/vfio0`;
  const error = assertThrows(() => host.find(vfio), VfioError);
  assertEquals(error.code, "DEVICE_NOT_FOUND");
  assertEquals(error.hint, `its device is /sys/devices/pci0000:00/${A}`);
  assertEquals(code(() => host.find("/sys/nowhere")), "DEVICE_NOT_FOUND");
  assertThrows(() => host.find("/etc/passwd"), TypeError, "below /sys");
  assertThrows(() => host.find("eth0"), TypeError, "PCI address");
  assertThrows(() => host.find(3 as unknown as string), TypeError);
});

Deno.test("Host.find() throws DEVICE_NOT_FOUND when links lead in a circle", () => {
  const { kernel } = setUp({});
  const looping = intercept(
    kernel,
    (call, proceed) =>
      call.method === "readlink" && call.args[0] === "/sys/loop"
        ? "loop"
        : proceed(),
  );
  const host = new Host({ kernel: looping });
  assertEquals(code(() => host.find("/sys/loop")), "DEVICE_NOT_FOUND");
});

Deno.test("PciFunction reads fixed attributes once, and others each time", () => {
  const host = setUp({ [A]: { driver: "e1000e" } });
  const reads: string[] = [];
  const kernel = intercept(host.kernel, ({ method, args }, proceed) => {
    if (method === "readFile") reads.push(String(args[0]).split("/").at(-1)!);
    return proceed();
  });
  const fn = new Host({ kernel }).function(A);
  assertEquals([fn.vendor, fn.driver], [0x8086, "e1000e"]);
  assertEquals(fn.driverOverride, undefined);
  kernel.writeFile("/sys/bus/pci/drivers/e1000e/unbind", A);
  kernel.writeFile(`${fn.path}/driver_override`, "vfio-pci");
  assertEquals([fn.vendor, fn.driver], [0x8086, undefined]);
  assertEquals(fn.driverOverride, "vfio-pci");
  assertEquals(reads, ["uevent", "driver_override", "driver_override"]);
});

Deno.test("PciFunction.bars distinguishes memory and ports, and 64 and 32 bits", () => {
  const host = setUp({
    [A]: {
      bars: [
        "128K at 0xfe000000",
        "32 io at 0x1000",
        "8G 64bit prefetchable at 0x4000000000",
      ],
      // which is not a BAR
      rom: "128K",
    },
  });
  assertEquals(host.function(A).bars, [
    {
      index: 0,
      kind: "memory",
      is64bit: false,
      prefetchable: false,
      start: 0xfe000000n,
      size: 0x20000,
    },
    {
      index: 1,
      kind: "io",
      is64bit: false,
      prefetchable: false,
      start: 0x1000n,
      size: 0x20,
    },
    {
      index: 2,
      kind: "memory",
      is64bit: true,
      prefetchable: true,
      start: 0x4000000000n,
      size: 0x2_0000_0000,
    },
  ]);
});

Deno.test("PciFunction.resetMethods is empty when there are none", () => {
  const host = setUp({ [A]: { reset: [] }, [B]: { reset: ["flr", "bus"] } });
  assertEquals(host.function(A).resetMethods, []);
  assertEquals(host.function(B).resetMethods, ["flr", "bus"]);
  host.kernel.writeFile(`${host.function(B).path}/reset_method`, "bus");
  assertEquals(host.function(B).resetMethods, ["bus"]);
});

Deno.test("PciFunction.resetMethods is empty when the kernel does not list them", () => {
  const host = simulate({
    kernel: { release: "5.10.0" },
    functions: { [A]: { ...NIC, reset: ["flr"] } },
  });
  assertEquals(host.function(A).resetMethods, []);
});

Deno.test("PciFunction.numaNode is undefined when the host has one node", () => {
  const host = setUp({ [A]: {}, [B]: { numaNode: 1 } });
  assertEquals(host.function(A).numaNode, undefined);
  assertEquals(host.function(B).numaNode, 1);
});

Deno.test("PciFunction links virtual functions and their physical one", () => {
  const sriov = { total: 12, enabled: 12, id: "8086:10ca", stride: 1 };
  const fn = setUp({ [A]: { sriov } }).function(A);
  const functions = fn.virtualFunctions;
  assertEquals(
    functions.map(({ address }) => address),
    Array.from({ length: 12 }, (_, i) => `0000:00:1${3 + (i >> 3)}.${i & 7}`),
  );
  assertEquals(functions[11]?.physicalFunction?.address, A);
  assertEquals(fn.physicalFunction, undefined);
});

Deno.test("PciFunction has names from pci.ids when that is installed", () => {
  assertEquals(setUp({ [A]: {} }).function(A).vendorName, undefined);
  const fn = setUp({ [A]: {} }, {
    "/usr/share/hwdata/pci.ids":
      "8086  Intel\n\t10d3  82574L\nC 02  Network\n\t00  Ethernet",
  }).function(A);
  assertEquals(
    [fn.vendorName, fn.deviceName, fn.className],
    ["Intel", "82574L", "Ethernet"],
  );
});

Deno.test("PciFunction.className is the specification's when pci.ids is not installed", () => {
  const host = setUp({ [A]: { class: 0x020000 }, [B]: { class: 0x550000 } });
  assertEquals(host.function(A).className, "Ethernet controller");
  assertEquals(host.function(B).className, undefined);
});

Deno.test("lendPciIds() lends names when the other system has none", () => {
  const at = "/usr/share/misc/pci.ids";
  const lender = setUp({}, { [at]: "8086  Lent" });
  for (const [own, name] of [[{}, "Lent"], [{ [at]: "8086  Own" }, "Own"]]) {
    const host = setUp({ [A]: {} }, own as Record<string, string>);
    lendPciIds(lender.kernel, host.kernel);
    assertEquals(host.function(A).vendorName, name as string);
  }
});

Deno.test("PciFunction.revision throws PERMISSION_DENIED when it may not be read", () => {
  const { machine } = setUp({ [A]: {} });
  const fn = new SimulatedHost(machine, { uid: 1000 }).function(A);
  machine.setOwnership(`${fn.path}/revision`, { mode: 0o600 });
  const error = assertThrows(() => fn.revision, VfioError, "/revision");
  assertEquals(error.code, "PERMISSION_DENIED");
  assertEquals(error.device, A);
});

Deno.test("PciFunction.vendor throws DEVICE_NOT_FOUND when the function was removed", () => {
  const { kernel } = setUp({ [A]: {} });
  const fn = new Host({ kernel }).function(A);
  kernel.writeFile(`${fn.path}/remove`, "1");
  assertEquals(code(() => fn.vendor), "DEVICE_NOT_FOUND");
  assertEquals(fn.driver, undefined);
});

Deno.test("IommuGroup lists its members and its type", () => {
  const host = setUp({ [A]: { group: 7 }, [B]: { group: 7 } });
  const group = host.function(A).iommuGroup;
  assertEquals(group?.id, "7");
  assertEquals(group?.type, "DMA-FQ");
  assertEquals(group?.name, undefined);
  assertEquals(group?.devices.map(({ name }) => name), [A, B]);
});

Deno.test("Host.groups() puts groups in order of their numbers", () => {
  const host = setUp({ [A]: { group: 10 }, [B]: { group: 9 } });
  assertEquals(host.groups().map(({ id }) => id), ["9", "10"]);
  assertEquals(host.group(10).devices[0]?.name, A);
});

Deno.test("Host.group() throws when the id is not a number, or there is no such group", () => {
  const host = setUp({});
  assertThrows(() => host.group("../.."), TypeError, "expected a number");
  assertThrows(() => host.group(""), TypeError);
  assertThrows(() => host.group(-1), TypeError);
  assertThrows(() => host.group(1.5), TypeError);
  assertEquals(code(() => host.group(3)), "DEVICE_NOT_FOUND");
});

Deno.test("IommuGroup.viability() names each member in the way", () => {
  const host = setUp({
    "0000:00:03.0": { group: 1 },
    "0000:00:03.1": { group: 1, driver: "e1000e" },
    "0000:00:03.2": { group: 1, driver: "pcieport" },
    "0000:00:03.3": { group: 1, driver: "snd_hda_intel", class: 0x060400 },
    "0000:00:03.4": { group: 1, driver: "vfio-pci" },
  });
  const viability = host.group(1).viability();
  assert(!viability.viable);
  assertEquals(
    viability.obstacles.map(({ device, driver, remedy }) => [
      device.name,
      driver,
      remedy,
    ]),
    [
      [
        "0000:00:03.1",
        "e1000e",
        "take 0000:00:03.1 from e1000e as well: " +
        'host.take("0000:00:03.1")',
      ],
      [
        "0000:00:03.3",
        "snd_hda_intel",
        "unbind 0000:00:03.3 from snd_hda_intel: echo 0000:00:03.3 > " +
        "/sys/bus/pci/drivers/snd_hda_intel/unbind",
      ],
    ],
  );
});

Deno.test("IommuGroup.viability() is viable when no member is in the way", () => {
  const host = setUp({
    "0000:00:03.0": { group: 1 },
    "0000:00:03.1": { group: 1, driver: "pci-stub" },
    "0000:00:03.2": { group: 1, driver: "vfio-pci" },
  });
  assertEquals(host.group(1).viability(), { viable: true });
});

Deno.test("standsInTheWay() is false for every VFIO driver of the kernel", () => {
  for (
    const driver of [
      "vfio-pci",
      "vfio-platform",
      "vfio-amba",
      "vfio-fsl-mc",
      "vfio-cdx",
      "hisi_acc_vfio_pci",
      "ism_vfio_pci",
      "mlx5_vfio_pci",
      "nvgrace_gpu_vfio_pci",
      "pds_vfio_pci",
      "qat_vfio_pci",
      "virtio_vfio_pci",
      "xe-vfio-pci",
    ]
  ) {
    assert(isVfioDriver(driver), driver);
    const member = { driver, bus: "pci", vfioDevice: undefined };
    assert(!standsInTheWay(member), driver);
  }
  assert(!isVfioDriver("vfiox"));
  assert(!isVfioDriver("nvme"));
  // a driver with an unknown name that has registered a VFIO device
  const bus = "pci";
  assert(!standsInTheWay({ driver: "acme", bus, vfioDevice: "vfio0" }));
  assert(standsInTheWay({ driver: "acme", bus, vfioDevice: undefined }));
});

Deno.test("vfioNodes() returns the nodes that the kernel has announced", () => {
  const topology = {
    functions: {
      [A]: { ...NIC, group: 4, driver: "vfio-pci" },
      [B]: { ...NIC, group: 5 },
    },
  };
  const host = simulate(topology);
  assertEquals(vfioNodes(host.function(A)), {
    group: "/dev/vfio/4",
    cdev: "/dev/vfio/devices/vfio0",
  });
  assertEquals(vfioNodes(host.function(B)), {
    group: undefined,
    cdev: undefined,
  });
  const legacy = simulate({ ...topology, kernel: { iommufd: false } });
  assertEquals(nodePaths([legacy.function(A)]), ["/dev/vfio/4"]);
  const noIommu = simulate({
    iommu: "none",
    kernel: { iommufd: false, unsafeNoIommu: true },
    functions: { [A]: { ...NIC, driver: "vfio-pci" } },
  });
  assertEquals(nodePaths([noIommu.function(A)]), ["/dev/vfio/noiommu-0"]);
});
