/**
 * Mediated devices, whose parent's driver does their DMA: those of the kernel's
 * sample `mtty`.
 */
import { assertEquals } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import {
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_DETACH_PASID,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_TYPE1v2_IOMMU,
} from "../../../lib/uapi/vfio/all.ts";
import { answer } from "../answer.ts";
import { Cdev } from "../device_file.ts";
import { mediated, MEDIATED_UUID, typePath, writeSysfs } from "../mediated.ts";
import { Group } from "../nodes.ts";
import { forEachBackend, withIommufd } from "../setup.ts";

const BUS = "/sys/bus/mdev";
const TYPE = typePath("mtty-1");
const UUID = MEDIATED_UUID;

/** Limits a test to systems with such mediated devices. */
const MTTY = { sample: "mtty" } as const;

forEachBackend(
  "a mediated device is made, unbound and removed",
  async (setup) => {
    const { kernel, host } = setup;
    await using made = await mediated(setup, "mtty-1");
    const { device } = made;
    for (
      const [text, expected] of [
        ["x", "EINVAL"],
        [UUID.slice(1), "EINVAL"],
        [`${UUID}00`, "EINVAL"],
        // One byte more is taken for the end of the line, whichever byte it is.
        [`${UUID}0`, "EEXIST"],
        [UUID, "EEXIST"],
        [UUID.toUpperCase(), "EEXIST"],
      ] as const
    ) {
      assertEquals(
        await writeSysfs(setup, `${TYPE}/create`, text),
        expected,
        text,
      );
    }
    assertEquals(device.bus, "mdev");
    assertEquals(device.driver, "mtty");
    assertEquals(
      kernel.readlink(`${device.path}/mdev_type`),
      "../mdev_supported_types/mtty-1",
    );
    assertEquals(kernel.readdir(`${TYPE}/devices`), [UUID]);
    assertEquals(kernel.readFile(`${TYPE}/available_instances`), "23\n");
    assertEquals(device.iommuGroup?.name, "vfio-noiommu");
    assertEquals(
      device.iommuGroup!.devices.map(({ name }) => name),
      [UUID],
    );
    const { group } = vfioNodes(device);
    assertEquals(group, `/dev/vfio/${device.iommuGroup!.id}`);

    // No driver takes it again after it is unbound.
    const unbind = `${BUS}/drivers/mtty/unbind`;
    assertEquals(await writeSysfs(setup, unbind, UUID), undefined);
    assertEquals(await writeSysfs(setup, unbind, UUID), "ENODEV");
    const unbound = host.find(device.path);
    assertEquals([unbound.driver, unbound.iommuGroup], [undefined, undefined]);
    const bind = `${BUS}/drivers/mtty/bind`;
    assertEquals(await writeSysfs(setup, bind, UUID), "ENODEV");
    assertEquals(
      await writeSysfs(setup, `${BUS}/drivers_probe`, UUID),
      undefined,
    );
    assertEquals(host.find(device.path).driver, undefined);

    const remove = `${device.path}/remove`;
    assertEquals(await writeSysfs(setup, remove, "x"), "EINVAL");
    assertEquals(await writeSysfs(setup, remove, "0"), undefined);
    assertEquals(exists(kernel, device.path), true);
    assertEquals(await writeSysfs(setup, remove, "1"), undefined);
    assertEquals(exists(kernel, device.path), false);
    assertEquals(kernel.readFile(`${TYPE}/available_instances`), "24\n");
  },
  { ...MTTY, backend: "legacy" },
);

forEachBackend(
  "VfioDevice.attach() takes a mediated device, and detach() leaves nothing behind",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const before = setup.bench.holdings();
    const space = setup.space();
    await using device = await VfioDevice.attach(made.device, space);
    const { locked } = setup;
    const memory = space.allocate(8192);
    // Memory is pinned only when the device's driver needs it.
    assertEquals(setup.locked, locked);
    assertEquals(device.config.read8(0x0e), 0);
    memory.free();
    await device.detach();
    await space.close();
    assertEquals(setup.bench.holdings(), before);
  },
  MTTY,
);

forEachBackend(
  "a container with a mediated device has all IOVAs, and pins nothing",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const { kernel } = setup;
    const group = setup.use(new Group(kernel, vfioNodes(made.device).group!));
    const container = setup.container();
    assertEquals(group.status(), 1);
    assertEquals(answer(() => group.device(UUID)), "EINVAL");
    group.setContainer(container);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    const { address: vaddr } = setup.memory(8192);
    const before = setup.locked;
    const map = (iova: bigint, size = 4096n) =>
      answer(() => container.map({ vaddr, iova, size }));
    assertEquals(map(0xfee0_0000n), undefined);
    assertEquals(map(1n << 60n), undefined);
    assertEquals(map(0x800n), "EINVAL");
    assertEquals(setup.locked, before);
    const device = setup.use(group.device(UUID));
    assertEquals(device.read(VFIO_PCI_CONFIG_REGION_INDEX, 0, 4).length, 4);
    assertEquals(answer(() => group.unsetContainer()), "EBUSY");

    // An IOMMU cannot translate these mappings.
    const edu = await setup.group("edu0");
    assertEquals(answer(() => edu.setContainer(container)), "EINVAL");
    const all = container.unmap({ iova: 0n, size: 0n, flags: 2 });
    assertEquals(all, 8192n);
    assertEquals(map(0x1000n), undefined);
    edu.setContainer(container);
    assertEquals(setup.locked, before + 4);
    assertEquals(map(0xfee0_0000n), "EINVAL");
    edu.unsetContainer();
    assertEquals(setup.locked, before);
    assertEquals(map(0xfee0_0000n), undefined);
    device.close();
    group.unsetContainer();
  },
  { ...MTTY, backend: "legacy" },
);

withIommufd(
  "a mediated device is attached to an IOAS without a page table, and pins nothing",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const cdev = setup.use(
      new Cdev(setup.kernel, vfioNodes(made.device).cdev!),
    );
    const iommufd = setup.iommufd();
    const token = { flags: VFIO_DEVICE_BIND_FLAG_TOKEN, token_uuid_ptr: 1n };
    assertEquals(answer(() => cdev.bind(iommufd, token)), "EINVAL");
    const id = cdev.bind(iommufd);
    assertEquals(answer(() => cdev.bind(iommufd)), "EINVAL");
    const ioas = iommufd.allocate();
    const attach = (id: number) => answer(() => cdev.attach(id));
    assertEquals([attach(id), attach(99)], ["ENOENT", "ENOENT"]);
    const pasid = { flags: VFIO_DEVICE_ATTACH_PASID };
    assertEquals(answer(() => cdev.attach(ioas, pasid)), "EOPNOTSUPP");
    assertEquals(
      answer(() => cdev.detach({ flags: VFIO_DEVICE_DETACH_PASID })),
      "EOPNOTSUPP",
    );

    const { address: user_va } = setup.memory(8192);
    const before = setup.locked;
    const map = (iova: bigint, length = 4096n) =>
      answer(() => iommufd.map({ ioas_id: ioas, user_va, iova, length }));
    assertEquals(map(0x800n, 0x800n), 0x800n);
    assertEquals(attach(ioas), "EADDRINUSE");
    iommufd.unmap({ ioas_id: ioas, iova: 0x800n, length: 0x800n });
    assertEquals(attach(ioas), ioas);
    assertEquals(attach(ioas), ioas);
    assertEquals(answer(() => iommufd.destroy(ioas)), "EBUSY");
    assertEquals(map(0x800n, 0x800n), "EINVAL");
    assertEquals(map(0xfee0_0000n), 0xfee0_0000n);
    assertEquals(setup.locked, before);
    assertEquals(iommufd.ranges(ioas, 4), {
      errno: 0,
      count: 1,
      ranges: [{ start: 0n, last: 0xffff_ffff_ffff_ffffn }],
      alignment: 4096n,
    });

    // It moves, and the IOAS that it leaves is unused.
    const other = iommufd.allocate();
    assertEquals(attach(99), "ENOENT");
    assertEquals(attach(other), other);
    iommufd.destroy(ioas);
    cdev.detach();
    cdev.detach();
    iommufd.destroy(other);
    assertEquals(attach(other), "ENOENT");
    assertEquals(answer(() => iommufd.destroy(id)), "EBUSY");
  },
);

withIommufd(
  "a mediated device shares an IOAS with a device that the IOMMU isolates",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const cdev = setup.use(
      new Cdev(setup.kernel, vfioNodes(made.device).cdev!),
    );
    const edu = await setup.readyIoas("edu0");
    const { iommufd, ioas } = edu;
    cdev.bind(iommufd);
    cdev.attach(ioas);
    const { address: user_va } = setup.memory(4096);
    const before = setup.locked;
    const map = (iova: bigint) =>
      answer(() =>
        iommufd.map({ ioas_id: ioas, user_va, iova, length: 4096n })
      );
    assertEquals(map(0xfee0_0000n), "EINVAL");
    assertEquals(map(0x1000n), 0x1000n);
    assertEquals(setup.locked, before + 4);
    // A page table is not an IOAS.
    const table = edu.cdev.attach(ioas);
    assertEquals(answer(() => cdev.attach(table)), "ENOENT");
    edu.cdev.detach();
    assertEquals(setup.locked, before);
    assertEquals(map(0xfee0_0000n), 0xfee0_0000n);
    assertEquals(answer(() => edu.cdev.attach(ioas)), "EADDRINUSE");
  },
);
