import { assertEquals, assertThrows } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import {
  VFIO_GROUP_GET_STATUS,
  vfio_group_status,
} from "../../../lib/uapi/vfio/all.ts";
import {
  A,
  answer,
  blocked,
  NIC,
  OVERRIDE,
  PATH,
  PCI,
  Sysfs,
} from "./sysfs_bench.ts";

Deno.test("bind to vfio-pci makes the nodes, and unbind removes them", async () => {
  const sysfs = new Sysfs({ ...NIC, group: 7 });
  assertEquals(sysfs.names("/dev/vfio"), ["vfio"]);
  await sysfs.take(A);
  assertEquals(sysfs.names("/dev/vfio"), ["7", "devices", "vfio"]);
  assertEquals(sysfs.names("/dev/vfio/devices"), ["vfio0"]);
  assertEquals(sysfs.names(`${PATH}/vfio-dev`), ["vfio0"]);
  assertEquals(
    sysfs.kernel.readlink(`${PATH}/vfio-dev/vfio0/device`),
    `../../../${A}`,
  );
  assertEquals(
    sysfs.kernel.readlink("/sys/class/vfio-dev/vfio0"),
    `../../devices/pci0000:00/${A}/vfio-dev/vfio0`,
  );
  assertEquals(
    sysfs.kernel.readlink("/sys/class/vfio/7"),
    "../../devices/virtual/vfio/7",
  );
  assertEquals(
    sysfs.read("/sys/class/vfio/7/dev").trim(),
    sysfs.kernel.stat("/dev/vfio/7").device,
  );
  assertEquals(
    sysfs.read(`${PATH}/vfio-dev/vfio0/dev`).trim(),
    sysfs.kernel.stat("/dev/vfio/devices/vfio0").device,
  );
  assertEquals(sysfs.read(`${PATH}/power/control`), "auto\n");
  await sysfs.unbind("vfio-pci", A);
  assertEquals(sysfs.names("/dev/vfio"), ["vfio"]);
  assertEquals(sysfs.names("/sys/class/vfio"), []);
  assertEquals(await answer(() => sysfs.names(`${PATH}/vfio-dev`)), "ENOENT");
  assertEquals(sysfs.read(`${PATH}/power/control`), "on\n");
});

for (const release of ["6.1.0", "7.3.4"]) {
  Deno.test(`unbind waits while the device is open, on Linux ${release}`, async () => {
    const old = release === "6.1.0";
    const sysfs = new Sysfs({
      kernel: { release },
      functions: { [A]: { model: "edu", group: 7 } },
    });
    await sysfs.take(A);
    const space = new AddressSpace({ host: sysfs.host, backend: "legacy" });
    const device = await VfioDevice.attach(A, space);
    const unbind = await blocked(sysfs.unbind("vfio-pci", A));
    assertEquals(unbind.now, "blocked");
    // It looks unbound, but the group's node still exists.
    assertEquals(sysfs.driver(A), undefined);
    assertEquals(sysfs.names("/sys/class/vfio-dev"), old ? ["vfio0"] : []);
    assertEquals(sysfs.names("/dev/vfio"), ["7", "vfio"]);
    // Others that change its driver wait as well.
    const again = await blocked(sysfs.unbind("vfio-pci", A));
    const bind = await blocked(sysfs.bind("vfio-pci", A));
    const override = await blocked(sysfs.override(A, "nothing"));
    const probe = await blocked(sysfs.probe(A));
    assertEquals(
      [again.now, bind.now, override.now, probe.now],
      ["blocked", "blocked", old ? "blocked" : "ok", "ok"],
    );
    if (old) assertThrows(() => sysfs.read(OVERRIDE), Error, "would hang");
    else assertEquals(sysfs.read(OVERRIDE), "nothing\n");
    await device.detach();
    assertEquals(await unbind.over, "ok");
    assertEquals(await again.over, "ok");
    // On the newer kernel the override is set by then.
    assertEquals(await bind.over, old ? "ok" : "ENODEV");
    assertEquals(await override.over, "ok");
    assertEquals(sysfs.driver(A), old ? "vfio-pci" : undefined);
  });
}

Deno.test("unbind throws when a synchronous write would wait for the caller", async () => {
  const sysfs = new Sysfs({ model: "edu" });
  await sysfs.take(A);
  const device = await VfioDevice.attach(A, new AddressSpace(sysfs));
  assertThrows(
    () => sysfs.kernel.writeFile(`${PCI}/drivers/vfio-pci/unbind`, A),
    Error,
    "a real process would hang",
  );
  await device.detach();
});

Deno.test("a group's node is removed with its last device when the group is open", async () => {
  const sysfs = new Sysfs({ ...NIC, driver: "vfio-pci", group: 4 });
  const { kernel } = sysfs;
  const fd = kernel.open("/dev/vfio/4", O_RDWR);
  const status = () =>
    kernel.ioctl(fd, VFIO_GROUP_GET_STATUS, vfio_group_status.alloc());
  assertEquals(await answer(status), "ok");
  assertEquals(await sysfs.unbind("vfio-pci", A), "ok");
  assertEquals(await answer(status), "ENODEV");
  assertEquals(
    kernel.readlink(`/proc/self/fd/${fd}`),
    "/dev/vfio/4 (deleted)",
  );
  await sysfs.take(A);
  kernel.close(kernel.open("/dev/vfio/4", O_RDWR)); // another group by now
  assertEquals(await answer(status), "ENODEV");
  kernel.close(fd);
});

Deno.test("enable_unsafe_noiommu_mode makes groups for functions without one", async () => {
  const sysfs = new Sysfs({ iommu: "none", functions: { [A]: NIC } });
  const mode = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
  await sysfs.override(A, "vfio-pci");
  assertEquals(await sysfs.bind("vfio-pci", A), "EINVAL");
  assertEquals(await sysfs.write(mode, "x"), "EINVAL");
  assertEquals(await sysfs.write(mode, "Y"), "ok");
  assertEquals(await sysfs.bind("vfio-pci", A), "ok");
  const group = sysfs.host.function(A).iommuGroup;
  assertEquals(
    [group?.id, group?.name, group?.type],
    ["0", "vfio-noiommu", "unknown"],
  );
  assertEquals(sysfs.names("/sys/class/vfio"), ["noiommu-0"]);
  assertEquals(sysfs.names("/dev/vfio"), ["devices", "noiommu-0", "vfio"]);
  assertEquals(sysfs.names("/dev/vfio/devices"), ["noiommu-vfio0"]);
  await sysfs.unbind("vfio-pci", A);
  assertEquals(sysfs.host.groups(), []);
});
