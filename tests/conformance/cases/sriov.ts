/**
 * Creating virtual functions through sysfs (`drivers/pci/pci-sysfs.c`,
 * `drivers/pci/iov.c`).
 */
import { assertEquals } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { answer } from "../answer.ts";
import { Group } from "../nodes.ts";
import { FIRST, Physical, SECOND } from "../physical_function.ts";
import { forEachBackend, withContainer } from "../setup.ts";

withContainer(
  "sriov_numvfs creates virtual functions, and removes them",
  async (setup) => {
    await using physical = new Physical(setup);
    // Otherwise the test would have to wait for their driver.
    assertEquals(
      await physical.write("sriov_drivers_autoprobe", "0"),
      undefined,
    );
    const { address } = physical;
    const numvfs = (text: string) => physical.write("sriov_numvfs", text);
    assertEquals(
      ["totalvfs", "numvfs", "offset", "stride", "drivers_autoprobe"]
        .map((name) => physical.read(`sriov_${name}`)),
      ["4\n", "0\n", "1\n", "1\n", "0\n"],
    );
    for (
      const [text, expected] of [
        ["x", "EINVAL"],
        ["", undefined],
        ["-1", "EINVAL"],
        ["65536", "EINVAL"],
        ["65535", "ERANGE"],
        ["5", "ERANGE"],
        ["0", undefined],
      ] as const
    ) {
      assertEquals(await numvfs(text), expected, text);
    }
    assertEquals(physical.driverOf(FIRST), null);

    assertEquals(await numvfs("0x2\n"), undefined);
    assertEquals(physical.read("sriov_numvfs"), "2\n");
    assertEquals(await numvfs("2"), undefined);
    assertEquals(await numvfs("3"), "EBUSY");
    assertEquals(await numvfs("1"), "EBUSY");
    assertEquals(await numvfs("5"), "ERANGE");
    assertEquals(
      [FIRST, SECOND, "0000:01:00.3"].map((each) => physical.driverOf(each)),
      [undefined, undefined, null],
    );
    assertEquals(
      ["virtfn0", "virtfn1", "virtfn2"]
        .map((name) => physical.link(address, name)),
      [`../${FIRST}`, `../${SECOND}`, "ENOENT"],
    );
    assertEquals(physical.link(FIRST, "physfn"), `../${address}`);
    const { host } = setup;
    const [fn, virtual] = [address, FIRST].map((each) => host.function(each));
    assertEquals(
      [virtual!.vendor, virtual!.device, virtual!.class],
      [fn!.vendor, fn!.device, fn!.class],
    );
    assertEquals(
      answer(() => setup.kernel.readFile(`${virtual!.path}/sriov_numvfs`)),
      "ENOENT",
    );

    assertEquals(await numvfs("0"), undefined);
    assertEquals(physical.driverOf(FIRST), null);
    assertEquals(physical.link(address, "virtfn0"), "ENOENT");
  },
);

withContainer(
  "sriov_drivers_autoprobe keeps drivers from virtual functions without an override",
  async (setup) => {
    await using physical = new Physical(setup);
    const autoprobe = (text: string) =>
      physical.write("sriov_drivers_autoprobe", text);
    assertEquals(await autoprobe("x"), "EINVAL");
    assertEquals(await autoprobe("0"), undefined);
    await physical.write("sriov_numvfs", "1");
    const bind = (driver: string) =>
      physical.write(`drivers/${driver}/bind`, FIRST);
    assertEquals(await bind("nvme"), "ENODEV");
    assertEquals(await bind("vfio-pci"), "ENODEV");
    assertEquals(await physical.write("drivers_probe", FIRST), undefined);
    assertEquals(physical.driverOf(FIRST), undefined);
    await physical.writeTo(FIRST, "driver_override", "vfio-pci");
    assertEquals(await bind("nvme"), "ENODEV");
    assertEquals(await physical.write("drivers_probe", FIRST), undefined);
    assertEquals(physical.driverOf(FIRST), "vfio-pci");
  },
);

withContainer(
  "sriov_numvfs fails with ENOENT when the driver does not support virtual functions",
  async (setup) => {
    await using physical = new Physical(setup);
    const { address } = physical;
    const numvfs = (text: string) => physical.write("sriov_numvfs", text);
    await physical.write("drivers/nvme/unbind", address);
    assertEquals(await numvfs("1"), "ENOENT");
    assertEquals(await numvfs("5"), "ERANGE");
    assertEquals(await numvfs("0"), undefined);
    await physical.write("driver_override", "vfio-pci");
    assertEquals(
      await physical.write("drivers/vfio-pci/bind", address),
      undefined,
    );
    assertEquals(await numvfs("1"), "ENOENT");
    assertEquals(await numvfs("0"), undefined);
  },
);

withContainer(
  "vfio-pci refuses a function with EBUSY when it has virtual functions",
  async (setup) => {
    await using physical = new Physical(setup);
    const { address } = physical;
    await physical.write("sriov_drivers_autoprobe", "0");
    await physical.write("sriov_numvfs", "1");
    // The driver nvme leaves them behind.
    await physical.write("drivers/nvme/unbind", address);
    assertEquals(physical.driverOf(FIRST), undefined);
    assertEquals(await physical.write("sriov_numvfs", "0"), "ENOENT");
    await physical.write("driver_override", "vfio-pci");
    assertEquals(
      await physical.write("drivers/vfio-pci/bind", address),
      "EBUSY",
    );
    await physical.write("driver_override", "\n");
    assertEquals(await physical.write("drivers/nvme/bind", address), undefined);
    assertEquals(await physical.write("sriov_numvfs", "0"), undefined);
  },
);

forEachBackend(
  "a virtual function is attached, and removed when it is closed",
  async (setup) => {
    await using physical = new Physical(setup);
    await physical.write("sriov_drivers_autoprobe", "0");
    await physical.write("sriov_numvfs", "1");
    const space = setup.space();
    {
      await using taken = await setup.host.take(FIRST);
      const device = await VfioDevice.attach(taken.device, space);
      const { vendor, device: id } = setup.host.function(FIRST);
      assertEquals(device.config.read16(0), vendor);
      assertEquals(device.config.read16(2), id);
      await device.detach();
    }
    await space.close();
    await physical.writeTo(FIRST, "driver_override", "vfio-pci");
    await physical.write("drivers/vfio-pci/bind", FIRST);
    const { group } = vfioNodes(setup.host.function(FIRST));
    const open = setup.use(new Group(setup.kernel, group!));
    const container = setup.container();
    open.setContainer(container);
    container.setIommu(1);
    const device = setup.use(open.device(FIRST));

    let gone = false;
    const removed = physical.write("sriov_numvfs", "0")
      .finally(() => gone = true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals(gone, false);
    device.close();
    assertEquals(await removed, undefined);
    assertEquals(physical.driverOf(FIRST), null);
  },
);
