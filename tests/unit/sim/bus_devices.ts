import { assertEquals, assertThrows } from "@std/assert";
import { simulate } from "../../../lib/sim/mod.ts";
import { Sysfs } from "./sysfs_bench.ts";

const PATH = "/sys/devices/platform/uart.0";
const DRIVERS = "/sys/bus/platform/drivers";

Deno.test("a platform device is bound by its override, and by its name without one", async () => {
  const sysfs = new Sysfs({
    functions: {},
    devices: { "platform/uart.0": { driver: "uart" } },
    drivers: { "platform/other": {} },
  });
  assertEquals(sysfs.names("/sys/devices/platform"), ["uart.0"]);
  assertEquals(sysfs.names(DRIVERS), ["other", "uart", "vfio-platform"]);
  assertEquals(sysfs.read(`${PATH}/driver_override`), "(null)\n");
  assertEquals(sysfs.read(`${PATH}/power/control`), "auto\n");
  assertEquals(
    sysfs.read(`${PATH}/uevent`),
    "DRIVER=uart\nMODALIAS=platform:uart.0\n",
  );
  assertEquals(await sysfs.write(`${DRIVERS}/other/bind`, "uart.0"), "ENODEV");
  assertEquals(await sysfs.write(`${DRIVERS}/uart/unbind`, "uart.0"), "ok");
  assertEquals(await sysfs.write(`${PATH}/driver_override`, "other"), "ok");
  assertEquals(await sysfs.write(`${DRIVERS}/uart/bind`, "uart.0"), "ENODEV");
  const probe = "/sys/bus/platform/drivers_probe";
  assertEquals(await sysfs.write(probe, "uart.0"), "ok");
  assertEquals(sysfs.host.find(PATH).driver, "other");
});

Deno.test("a device of a bus without driver_override has none", () => {
  const sysfs = new Sysfs({ functions: {}, devices: { "hid/mouse.0": {} } });
  assertEquals(sysfs.names("/sys/devices/hid/mouse.0"), [
    "iommu_group",
    "power",
    "subsystem",
    "uevent",
  ]);
  assertEquals(sysfs.names("/sys/bus/hid/devices"), ["mouse.0"]);
});

Deno.test("a device can be in the group of a function, and stands in its way", () => {
  const host = simulate({
    functions: { "0000:00:03.0": { id: "8086:10d3", group: 7 } },
    devices: { "platform/uart.0": { driver: "uart", group: 7 } },
  });
  const viability = host.function("00:03.0").iommuGroup!.viability();
  assertEquals(
    !viability.viable && viability.obstacles.map(({ remedy }) => remedy),
    [
      "take uart.0 from uart as well: " +
      'host.take("/sys/bus/platform/devices/uart.0")',
    ],
  );
});

Deno.test("simulate() throws a TypeError when a device on another bus is impossible", () => {
  for (
    const [topology, message] of [
      [{ devices: { "uart.0": {} } }, "expected a bus and a name"],
      [{ devices: { "pci/0000:00:03.0": {} } }, "expected a bus and a name"],
      [{ devices: { "platform/..": {} } }, "expected a bus and a name"],
      [{ drivers: { "pci/nvme": {} } }, "expected a name, or a bus and a name"],
      [
        {
          devices: { "platform/a": { driver: "vfio-platform", group: null } },
        },
        "the kernel answers EINVAL",
      ],
      [
        {
          devices: { "platform/a": { driver: "b" } },
          drivers: { "platform/b": false },
        },
        "the kernel answers ENOENT",
      ],
    ] as const
  ) {
    assertThrows(() => simulate(topology), TypeError, message);
  }
});
