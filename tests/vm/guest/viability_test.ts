/**
 * Whether an IOMMU group is viable, by the library and by the kernel.
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import {
  VFIO_GROUP_FLAGS_VIABLE as VIABLE,
  VFIO_GROUP_GET_STATUS,
  vfio_group_status,
} from "../../../lib/uapi/vfio/all.ts";
import { addressOf, host, machine } from "./setup.ts";

const { kernel } = host;
const isolated = machine.iommu !== "none";

Deno.test({
  name: "IommuGroup.viability() names the member when another driver has it",
  ignore: !isolated,
  async fn() {
    const [nvme, edu] = [addressOf("mixed0"), addressOf("mixed1")];
    const group = host.function(edu).iommuGroup;
    assert(group !== undefined);
    assertEquals(group.devices.map(({ name }) => name), [nvme, edu]);
    const viability = group.viability();
    assert(!viability.viable);
    assertEquals(
      viability.obstacles.map(({ device, driver, remedy }) => [
        device.name,
        driver,
        remedy,
      ]),
      [[
        nvme,
        "nvme",
        `take ${nvme} from nvme as well: host.take("${nvme}")`,
      ]],
    );
    // The remedy works: the kernel agrees.
    await using taken = await host.take(edu);
    assertEquals(status(group.id) & VIABLE, 0);
    await using also = await host.take(nvme);
    assertEquals(also.device.driver, "vfio-pci");
    assertEquals(group.viability(), { viable: true });
    assertEquals(status(group.id) & VIABLE, VIABLE);
    assertEquals(taken.device.driver, "vfio-pci");
  },
});

Deno.test({
  name:
    "IommuGroup.viability() agrees with the kernel on every group of the machine",
  ignore: !isolated,
  async fn() {
    let viable = 0;
    for (const group of host.groups()) {
      const free = group.devices.find(({ driver, name }) =>
        driver === undefined && host.function(name).class >> 16 !== 0x06
      );
      // The kernel cannot be asked about a group without a VFIO member.
      if (free === undefined) continue;
      await using _taken = await host.take(free);
      const isViable = group.viability().viable;
      assertEquals(
        (status(group.id) & VIABLE) !== 0,
        isViable,
        `group ${group.id}`,
      );
      if (isViable) viable++;
    }
    assertGreater(viable, 3);
  },
});

/** Reads the kernel's status of a group: VFIO_GROUP_GET_STATUS. */
function status(group: string): number {
  const fd = kernel.open(`/dev/vfio/${group}`, O_RDWR);
  try {
    const bytes = vfio_group_status.alloc();
    kernel.ioctl(fd, VFIO_GROUP_GET_STATUS, bytes);
    return vfio_group_status.decode(bytes).flags;
  } finally {
    kernel.close(fd);
  }
}
