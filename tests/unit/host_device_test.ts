import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { VfioError } from "../../lib/errors.ts";
import { Host } from "../../lib/host/host.ts";
import { nodePaths, vfioNodes } from "../../lib/host/nodes.ts";
import { PciFunction } from "../../lib/host/pci_function.ts";
import { isVfioDriver, standsInTheWay } from "../../lib/host/vfio_driver.ts";
import { KernelError } from "../../lib/kernel/errno.ts";
import { intercept } from "../../lib/kernel/intercept.ts";
import { FakeHost } from "./fake_sysfs.ts";

const A = "0000:00:03.0";
const B = "0000:00:03.1";
const MDEV = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

function code(action: () => unknown): string {
  return assertThrows(action, VfioError).code;
}

Deno.test("Host.functions() reads nothing of a function but its link", () => {
  const fake = new FakeHost();
  for (let slot = 31; slot >= 0; slot--) {
    fake.function(`0000:00:${slot.toString(16).padStart(2, "0")}.0`);
  }
  const methods: string[] = [];
  const kernel = intercept(fake.kernel, ({ method }, proceed) => {
    methods.push(method);
    return proceed();
  });
  const functions = new Host({ kernel }).functions();
  assertEquals(functions.length, 32);
  assertEquals(functions[3]?.address, A);
  assertEquals(methods, ["readdir", ...Array(32).fill("readlink")]);
});

Deno.test("Host.functions() is empty when the host has no PCI", () => {
  assertEquals(new Host(new FakeHost()).functions(), []);
});

Deno.test("Host.function() takes an address with and without domain", () => {
  const fake = new FakeHost();
  fake.function(A);
  const host = new Host(fake);
  assertEquals(host.function("00:03.0").address, A);
  assertEquals(host.function(A).path, `/sys/devices/pci0000:00/${A}`);
});

Deno.test("Host.function() refuses an address that is malformed or absent", () => {
  const host = new Host(new FakeHost());
  assertThrows(() => host.function("03"), TypeError, '"03"');
  assertEquals(code(() => host.function(A)), "DEVICE_NOT_FOUND");
});

Deno.test("Host.find() follows links to a device on any bus", () => {
  const fake = new FakeHost();
  fake.function(A);
  const path = `/sys/devices/pci0000:00/${A}/${MDEV}`;
  fake.kernel.link(`${path}/subsystem`, "../../../../bus/mdev");
  fake.kernel.link(
    `/sys/bus/mdev/devices/${MDEV}`,
    `../../../devices/pci0000:00/${A}/${MDEV}`,
  );
  const host = new Host(fake);
  const mdev = host.find(`/sys/bus/mdev/devices/${MDEV}`);
  assertEquals(mdev.path, path);
  assertEquals(mdev.bus, "mdev");
  assertEquals(mdev.name, MDEV);
  // through a link in the middle
  assertEquals(host.find(`/sys/bus/pci/devices/${A}/${MDEV}/`).path, path);
  assertInstanceOf(host.find(`/sys/bus/pci/devices/${A}`), PciFunction);
});

Deno.test("Host.find() gives its own devices back, and finds another host's", () => {
  const fake = new FakeHost();
  fake.function(A);
  const host = new Host(fake);
  const device = host.find(A);
  assertStrictEquals(host.find(device), device);
  const other = new Host(fake).find(device);
  assert(other !== device);
  assertEquals(other.path, device.path);
});

Deno.test("Host.find() refuses what is no device", () => {
  const fake = new FakeHost();
  fake.function(A);
  const net = `/sys/devices/pci0000:00/${A}/net/eth0`;
  fake.kernel.link(`${net}/subsystem`, "../../../../../class/net");
  fake.kernel.link(`${net}/device`, `../../../${A}`);
  fake.kernel.link("/sys/loop", "loop");
  fake.kernel.file("/etc/passwd", "");
  const host = new Host(fake);
  const error = assertThrows(() => host.find(net), VfioError);
  assertEquals(error.code, "DEVICE_NOT_FOUND");
  assertEquals(error.hint, `its device is /sys/devices/pci0000:00/${A}`);
  assertEquals(code(() => host.find("/sys/nowhere")), "DEVICE_NOT_FOUND");
  assertEquals(code(() => host.find("/sys/loop")), "DEVICE_NOT_FOUND");
  assertThrows(() => host.find("/etc/passwd"), TypeError, "below /sys");
  assertThrows(() => host.find("eth0"), TypeError, "PCI address");
  assertThrows(() => host.find(3 as unknown as string), TypeError);
});

Deno.test("PciFunction reads what is fixed once and what changes each time", () => {
  const fake = new FakeHost();
  fake.driver("e1000e", A);
  fake.function(A, { driver: "e1000e" });
  const fn = new Host(fake).function(A);
  assertEquals([fn.vendor, fn.driver], [0x8086, "e1000e"]);
  assertEquals(fn.driverOverride, undefined);
  fake.kernel.file(`${fn.path}/vendor`, "0xffff");
  fake.unbind("e1000e", A);
  fake.kernel.writeFile(`${fn.path}/driver_override`, "vfio-pci");
  assertEquals([fn.vendor, fn.driver], [0x8086, undefined]);
  assertEquals(fn.driverOverride, "vfio-pci");
});

Deno.test("PciFunction.bars tells memory from ports, and 64 bits from 32", () => {
  const fake = new FakeHost();
  fake.function(A);
  const none = "0x0000000000000000 0x0000000000000000 0x0000000000000000";
  fake.kernel.file(
    `/sys/devices/pci0000:00/${A}/resource`,
    [
      "0x00000000fe000000 0x00000000fe01ffff 0x0000000000040200",
      "0x0000000000001000 0x000000000000101f 0x0000000000040101",
      "0x0000004000000000 0x00000041ffffffff 0x000000000014220c",
      none,
      none,
      none,
      // the ROM, which is no BAR
      "0x00000000fe020000 0x00000000fe03ffff 0x0000000000046200",
    ].join("\n"),
  );
  assertEquals(new Host(fake).function(A).bars, [
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

Deno.test("PciFunction.resetMethods is empty when the kernel has none", () => {
  const fake = new FakeHost();
  fake.function(A);
  const fn = new Host(fake).function(A);
  assertEquals(fn.resetMethods, []);
  fake.kernel.file(`${fn.path}/reset_method`, "flr bus");
  assertEquals(fn.resetMethods, ["flr", "bus"]);
});

Deno.test("PciFunction.numaNode is undefined when the host has one node", () => {
  const fake = new FakeHost();
  fake.function(A);
  const fn = new Host(fake).function(A);
  fake.kernel.file(`${fn.path}/numa_node`, "-1");
  assertEquals(fn.numaNode, undefined);
  fake.kernel.file(`${fn.path}/numa_node`, "1");
  assertEquals(fn.numaNode, 1);
});

Deno.test("PciFunction links virtual functions and their physical one", () => {
  const fake = new FakeHost();
  fake.function(A);
  const names = Array.from(
    { length: 12 },
    (_, i) => `0000:00:1${i >> 3}.${i & 7}`,
  );
  for (const name of names) fake.function(name, { physfn: A });
  const fn = new Host(fake).function(A);
  const functions = fn.virtualFunctions;
  assertEquals(functions.map(({ address }) => address), names);
  assertEquals(functions[11]?.physicalFunction?.address, A);
  assertEquals(fn.physicalFunction, undefined);
});

Deno.test("PciFunction names come from pci.ids where it is installed", () => {
  const fake = new FakeHost();
  fake.function(A);
  assertEquals(new Host(fake).function(A).vendorName, undefined);
  const installed = new FakeHost();
  installed.function(A);
  installed.kernel.file(
    "/usr/share/hwdata/pci.ids",
    "8086  Intel\n\t10d3  82574L\nC 02  Network\n\t00  Ethernet",
  );
  const fn = new Host(installed).function(A);
  assertEquals(
    [fn.vendorName, fn.deviceName, fn.className],
    ["Intel", "82574L", "Ethernet"],
  );
});

Deno.test("PciFunction.revision is PERMISSION_DENIED when it may not be read", () => {
  const fake = new FakeHost();
  fake.function(A);
  const fn = new Host(fake).function(A);
  fake.kernel.file(`${fn.path}/revision`, () => {
    throw new KernelError(13, "open", `${fn.path}/revision`);
  });
  const error = assertThrows(() => fn.revision, VfioError, "/revision");
  assertEquals(error.code, "PERMISSION_DENIED");
  assertEquals(error.device, A);
});

Deno.test("PciFunction.vendor is DEVICE_NOT_FOUND when the function was removed", () => {
  const fake = new FakeHost();
  fake.function(A);
  const fn = new Host(fake).function(A);
  fake.kernel.remove(fn.path);
  assertEquals(code(() => fn.vendor), "DEVICE_NOT_FOUND");
  assertEquals(fn.driver, undefined);
});

Deno.test("IommuGroup lists its members and its type", () => {
  const fake = new FakeHost();
  fake.function(A, { group: 7 });
  fake.function(B, { group: 7 });
  const group = new Host(fake).function(A).iommuGroup;
  assertEquals(group?.id, "7");
  assertEquals(group?.type, "DMA");
  assertEquals(group?.name, undefined);
  assertEquals(group?.devices.map(({ name }) => name), [A, B]);
});

Deno.test("Host.groups() puts groups in order of their numbers", () => {
  const fake = new FakeHost();
  fake.function(A, { group: 10 });
  fake.function(B, { group: 9 });
  const host = new Host(fake);
  assertEquals(host.groups().map(({ id }) => id), ["9", "10"]);
  assertEquals(host.group(10).devices[0]?.name, A);
});

Deno.test("Host.group() refuses what is no number, or no group", () => {
  const host = new Host(new FakeHost());
  assertThrows(() => host.group("../.."), TypeError, "expected a number");
  assertThrows(() => host.group(""), TypeError);
  assertThrows(() => host.group(-1), TypeError);
  assertThrows(() => host.group(1.5), TypeError);
  assertEquals(code(() => host.group(3)), "DEVICE_NOT_FOUND");
});

Deno.test("IommuGroup.viability() names each member in the way", () => {
  const fake = new FakeHost();
  for (const driver of ["e1000e", "nvme", "pcieport", "snd_hda_intel"]) {
    fake.driver(driver);
  }
  fake.function("0000:00:03.0", { group: 1 });
  fake.function("0000:00:03.1", { group: 1, driver: "e1000e" });
  fake.function("0000:00:03.2", { group: 1, driver: "pcieport" });
  fake.function("0000:00:03.3", {
    group: 1,
    driver: "snd_hda_intel",
    class: 0x060400,
  });
  fake.function("0000:00:03.4", { group: 1, driver: "vfio-pci" });
  const viability = new Host(fake).group(1).viability();
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
  const fake = new FakeHost();
  fake.driver("pci-stub");
  fake.function("0000:00:03.0", { group: 1 });
  fake.function("0000:00:03.1", { group: 1, driver: "pci-stub" });
  fake.function("0000:00:03.2", { group: 1, driver: "vfio-pci" });
  assertEquals(new Host(fake).group(1).viability(), { viable: true });
});

Deno.test("standsInTheWay() lets every driver of the kernel's VFIO pass", () => {
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
  // a driver of unknown name that has registered a VFIO device
  const bus = "pci";
  assert(!standsInTheWay({ driver: "acme", bus, vfioDevice: "vfio0" }));
  assert(standsInTheWay({ driver: "acme", bus, vfioDevice: undefined }));
});

Deno.test("vfioNodes() gives what the kernel has announced", () => {
  const fake = new FakeHost();
  fake.function(A, { group: 4, driver: "vfio-pci" });
  fake.function(B, { group: 5 });
  const host = new Host(fake);
  assertEquals(vfioNodes(host.function(A)), {
    group: "/dev/vfio/4",
    cdev: "/dev/vfio/devices/vfio0",
  });
  assertEquals(vfioNodes(host.function(B)), {
    group: undefined,
    cdev: undefined,
  });
  // without the device cdev, and in a group without an IOMMU
  fake.kernel.remove(`${host.function(A).path}/vfio-dev/vfio0/dev`);
  fake.kernel.remove("/sys/class/vfio/4");
  fake.kernel.directory("/sys/class/vfio/noiommu-4");
  assertEquals(nodePaths([host.function(A)]), ["/dev/vfio/noiommu-4"]);
});
