/**
 * Taking devices on buses other than PCI.
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { Host } from "../../../lib/host/host.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { refused } from "../../failures.ts";
import { WatchedHost } from "../watched_host.ts";

const NAME = "fe210000.ethernet";
const PATH = `/sys/bus/platform/devices/${NAME}`;
const REAL = `/sys/devices/platform/${NAME}`;
const DRIVERS = "/sys/bus/platform/drivers";
const TOPOLOGY: Topology = {
  devices: {
    [`platform/${NAME}`]: { driver: "xgmac", group: 3, regions: ["4K"] },
  },
};

Deno.test("Host.take() and giveBack() move a platform device to vfio-platform and back", async () => {
  const watched = new WatchedHost(TOPOLOGY);
  const { host } = watched;
  const taken = await host.take(PATH);
  assertEquals([taken.device.driver, taken.previousDriver], [
    "vfio-platform",
    "xgmac",
  ]);
  assertEquals(watched.writes.splice(0), [
    `${REAL}/driver_override: vfio-platform`,
    `${DRIVERS}/xgmac/unbind: ${NAME}`,
    `${DRIVERS}/vfio-platform/bind: ${NAME}`,
  ]);
  await taken.giveBack();
  assertEquals(watched.writes, [
    `${REAL}/driver_override: `,
    `${DRIVERS}/vfio-platform/unbind: ${NAME}`,
    `${DRIVERS}/xgmac/bind: ${NAME}`,
  ]);
  assertEquals(host.find(PATH).driver, "xgmac");
  assertEquals(watched.raw.readFile(`${REAL}/driver_override`), "(null)\n");
});

Deno.test("VfioDevice.attach() attaches a platform device that was taken", async () => {
  const host = simulate(TOPOLOGY);
  await using space = new AddressSpace({ host });
  const error = await refused(
    "WRONG_DRIVER",
    () => VfioDevice.attach(PATH, space),
  );
  assertEquals(error.hint, `take it over first: host.take("${PATH}")`);
  await using taken = await host.take(PATH);
  await using device = await VfioDevice.attach(taken.device, space);
  assertEquals(device.info, {
    api: undefined,
    pci: false,
    resettable: false,
    regions: 1,
    irqs: 0,
  });
  device.region(0).write32(4, 7);
  assertEquals(device.region(0).map().read32(4), 7);
  await device.detach();
});

Deno.test("Host.take() takes VFIO's driver for the device's bus", async () => {
  const drivers: Record<string, string> = {
    "amba": "vfio-amba",
    "cdx": "vfio-cdx",
    "css": "vfio_ccw",
    "fsl-mc": "vfio-fsl-mc",
  };
  for (const [bus, driver] of Object.entries(drivers)) {
    const host = simulate({
      devices: {
        [`${bus}/device.0`]: {
          driver: "its_own",
          // A subchannel has none, and needs none.
          ...bus === "css" && { group: null },
        },
      },
    });
    await using taken = await host.take(`/sys/bus/${bus}/devices/device.0`);
    assertEquals(taken.device.driver, driver);
  }
});

Deno.test("Host.take() binds another driver of the bus when it is named, also one that knows the device by its id", async () => {
  for (const bus of ["platform", "hid"]) {
    const host = simulate({
      devices: { [`${bus}/device.0`]: { driver: "its_own" } },
      drivers: { [`${bus}/other`]: { ids: ["device.0"] } },
    });
    const path = `/sys/bus/${bus}/devices/device.0`;
    {
      await using taken = await host.take(path, { driver: "other" });
      assertEquals(taken.device.driver, "other");
    }
    assertEquals(host.find(path).driver, "its_own");
  }
});

Deno.test("Host.take() says that the bus has no driver_override when a driver does not know the device", async () => {
  const host = simulate({
    devices: { "hid/device.0": { driver: "its_own" } },
    drivers: { "hid/other": {} },
  });
  const path = "/sys/bus/hid/devices/device.0";
  const error = await refused(
    "DRIVER_FAILED",
    () => host.take(path, { driver: "other" }),
  );
  assertEquals(
    error.hint,
    "the hid bus has no driver_override: only a driver that knows the device " +
      "by its id binds it",
  );
  assertEquals(host.find(path).driver, "its_own");
});

Deno.test("Host.take() says what vfio-platform needs when it has no reset for the device", async () => {
  const watched = new WatchedHost(TOPOLOGY);
  watched.answers.set(`${DRIVERS}/vfio-platform/bind`, ["ENOENT"]);
  const error = await refused("DRIVER_FAILED", () => watched.host.take(PATH));
  assertEquals(error.problem, "the driver vfio-platform did not take it");
  assertMatch(error.hint!, /reset_required=0/);
  assertEquals(watched.host.find(PATH).driver, "xgmac");
});

Deno.test("Host.take() throws a TypeError when VFIO has no driver for the bus and none is named", async () => {
  const host = simulate({ devices: { "hid/device.0": { driver: "its_own" } } });
  await assertRejects(
    () => host.take("/sys/bus/hid/devices/device.0"),
    TypeError,
    "VFIO has no driver for the hid bus",
  );
});

Deno.test("Host.take() throws NO_IOMMU_GROUP when no IOMMU isolates a platform device", async () => {
  const host = simulate({
    devices: { [`platform/${NAME}`]: { driver: "xgmac", group: null } },
  });
  await refused("NO_IOMMU_GROUP", () => host.take(PATH));
  assertEquals(host.find(PATH).driver, "xgmac");
});

Deno.test("Host.take() throws HOST_IN_USE when a process uses a node of a platform device", async () => {
  const node = `${REAL}/tty/ttyAMA0`;
  const host = simulate({
    ...TOPOLOGY,
    files: {
      "/sys/dev/char/204:64": { link: node },
      [`${node}/uevent`]: "DEVNAME=ttyAMA0\n",
      "/dev/ttyAMA0": "",
    },
  });
  host.machine.spawn({ name: "getty" }).open("/dev/ttyAMA0", O_RDWR);
  const error = await refused("HOST_IN_USE", () => host.take(PATH));
  assertEquals(error.device, NAME);
  assertMatch(error.problem, /\/dev\/ttyAMA0 is open in getty/);
  assertMatch(
    error.hint!,
    /insist on it: host\.take\("\/sys\/bus\/platform\/devices\/fe210000\.ethernet", \{ insist: true \}\)$/,
  );
  await using taken = await host.take(PATH, { insist: true });
  assertEquals(taken.device.driver, "vfio-platform");
});

Deno.test("restore() gives back a platform device by its path, and distinguishes the case of names", async () => {
  const topology: Topology = {
    devices: {
      "platform/PNP0C0C.0": { driver: "button" },
      "platform/pnp0c0c.0": { driver: "button" },
    },
  };
  const host = simulate(topology);
  const paths = Object.keys(topology.devices!)
    .map((key) => `/sys/bus/platform/devices/${key.split("/")[1]}`);
  const process = host.machine.spawn({ name: "script" });
  for (const path of paths) await new Host({ kernel: process }).take(path);
  process.exit();
  const admin = new SimulatedHost(host.machine);
  const { undone } = await restore(admin, { devices: [paths[0]!] });
  assertEquals(undone.map(({ device }) => device), ["PNP0C0C.0"]);
  assertEquals(paths.map((path) => admin.find(path).driver), [
    "button",
    "vfio-platform",
  ]);
  await restore(admin);
  assertEquals(admin.find(paths[1]!).driver, "button");
});

Deno.test("restore() skips a taken device when it was removed", async () => {
  const host = simulate({ devices: { "platform/a": { driver: "b" } } });
  const process = host.machine.spawn();
  await new Host({ kernel: process }).take("/sys/bus/platform/devices/a");
  process.exit();
  const path = "/run/passthru/take-1.jsonl";
  const { kernel } = host;
  kernel.writeFile(
    path,
    kernel.readFile(path).replace('"device":"a"', '"device":"gone"'),
  );
  const { undone, left } = await restore(host);
  assertEquals([undone.length, left], [1, []]);
});
