/**
 * A device's own node: before it is bound, and binding, attaching, moving and
 * detaching (`drivers/vfio/device_cdev.c`, `drivers/iommu/iommufd/device.c`).
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import {
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_DETACH_PASID,
} from "../../../lib/uapi/vfio/all.ts";
import { answer, answerOf } from "../answer.ts";
import type { Cdev } from "../device_file.ts";
import type { Iommufd } from "../nodes.ts";
import { withIommufd } from "../setup.ts";

withIommufd(
  "a device's node answers EINVAL to everything but bind when it is not bound",
  async (setup) => {
    const cdev = await setup.cdev("edu0");
    for (
      const ask of [
        () => cdev.info(),
        () => cdev.region({ index: 0 }),
        () => cdev.irq({ index: 0 }),
        () => cdev.setIrqs({}),
        () => cdev.attach(1),
        () => cdev.detach(),
        () => cdev.read(0, 0, 4),
        () => cdev.write(0, 0, new Uint8Array(4)),
        () => cdev.mmap(0, 0, 4096),
      ]
    ) assertEquals(answer<unknown>(ask), "EINVAL", String(ask));
    assertEquals(await answerOf(() => cdev.reset()), "EINVAL");
    cdev.bind(setup.iommufd());
    assertEquals(cdev.read(0, 0, 4).length, 4);
  },
);

withIommufd(
  "VFIO_DEVICE_BIND_IOMMUFD fails when it gets no iommufd, or anything else too",
  async (setup) => {
    const cdev = await setup.cdev("edu0");
    const iommufd = setup.iommufd();
    const bind = (
      values: Parameters<Cdev["bind"]>[1],
      fd: number = iommufd.fd,
    ) => answer(() => cdev.bind({ fd }, values));
    assertEquals(bind({}, -1), "EINVAL");
    assertEquals(bind({}, 999), "EBADF");
    assertEquals(bind({}, cdev.fd), "EBADFD");
    assertEquals(bind({}, setup.container().fd), "EBADFD");
    assertEquals(bind({ flags: 2 }), "EINVAL");
    assertEquals(bind({ argsz: 15 }), "EINVAL");
    // The device is not a virtual function, and no token was set.
    const flags = VFIO_DEVICE_BIND_FLAG_TOKEN;
    assertEquals(bind({ flags }), "EFAULT");
    assertEquals(bind({ argsz: 16 }), 1);
  },
);

withIommufd(
  "VFIO_DEVICE_BIND_IOMMUFD fails when it is made again",
  async (setup) => {
    const cdev = await setup.cdev("edu0");
    const again = await setup.cdev("edu0");
    const iommufd = setup.iommufd();
    assertEquals(cdev.bind(iommufd), 1);
    const bind = (cdev: Cdev, iommufd: Iommufd) =>
      answer(() => cdev.bind(iommufd));
    assertEquals(bind(cdev, iommufd), "EINVAL");
    assertEquals(bind(cdev, setup.iommufd()), "EINVAL");
    // It fails through another descriptor, too, while the first is bound.
    assertEquals(bind(again, iommufd), "EINVAL");
    cdev.close();
    assertEquals(bind(again, iommufd), 1);
  },
);

withIommufd(
  "VFIO_DEVICE_BIND_IOMMUFD and an open group exclude each other",
  async (setup) => {
    const cdev = await setup.cdev("pair0");
    const iommufd = setup.iommufd();
    const bind = () => answer(() => cdev.bind(iommufd));
    {
      using _group = await setup.group("pair0");
      assertEquals(bind(), "EBUSY");
    }
    assertEquals(bind(), 1);
    const group = () => setup.group("pair0").then((group) => group.close());
    assertEquals(await answerOf(group), "EBUSY");
    // The same for the other function of the group.
    await setup.take("pair1");
    cdev.close();
    assertEquals(await answerOf(group), undefined);
    const other = await setup.cdev("pair1");
    other.bind(iommufd);
    assertEquals(await answerOf(group), "EBUSY");
  },
);

withIommufd(
  "VFIO_DEVICE_BIND_IOMMUFD fails when the group has another owner",
  async (setup) => {
    const iommufd = setup.iommufd();
    const mixed = await setup.cdev("mixed1");
    assertEquals(answer(() => mixed.bind(iommufd)), "EPERM");
    await setup.take("mixed0");
    assertEquals(mixed.bind(iommufd), 1);

    const first = await setup.cdev("pair0");
    const second = await setup.cdev("pair1");
    first.bind(iommufd);
    const other = setup.iommufd();
    assertEquals(answer(() => second.bind(other)), "EPERM");
    assertEquals(second.bind(iommufd), 3);
    first.close();
    second.close();
    assertEquals(second.kernel, setup.kernel);
    const again = await setup.cdev("pair1");
    assertEquals(again.bind(other), 1);
  },
);

withIommufd(
  "VFIO_DEVICE_ATTACH_IOMMUFD_PT fails when the IOAS is not of the same iommufd",
  async (setup) => {
    const cdev = await setup.cdev("edu0");
    const iommufd = setup.iommufd();
    const device = cdev.bind(iommufd);
    const attach = (id: number, values: Parameters<Cdev["attach"]>[1] = {}) =>
      answer(() => cdev.attach(id, values));
    assertEquals(attach(0), "ENOENT");
    assertEquals(attach(99), "ENOENT");
    assertEquals(attach(device), "EINVAL");
    assertEquals(attach(99, { flags: 2 }), "EINVAL");
    assertEquals(attach(99, { argsz: 11 }), "EINVAL");
    const flags = VFIO_DEVICE_ATTACH_PASID;
    assertEquals(attach(99, { flags, argsz: 12 }), "EINVAL");
    assertEquals(attach(99, { flags, pasid: 1 }), "ENOENT");
    setup.iommufd().allocate();
    assertEquals(attach(2), "ENOENT");
    const ioas = iommufd.allocate();
    assertEquals(ioas, 2);
    // This IOMMU has no page table for one PASID of a device.
    assertEquals(attach(ioas, { flags, pasid: 1 }), "EINVAL");
    assertEquals(attach(ioas, { argsz: 12 }), 3);
  },
);

withIommufd(
  "VFIO_DEVICE_ATTACH_IOMMUFD_PT moves a device when it is attached",
  async (setup) => {
    const { cdev, iommufd, ioas } = await setup.readyIoas("edu0");
    const other = iommufd.allocate();
    const destroy = (id: number) => answer(() => iommufd.destroy(id));
    // Attaching it to the same IOAS changes nothing, and the page table stays.
    assertEquals(cdev.attach(ioas), 3);
    assertEquals(destroy(ioas), "EBUSY");
    const moved = cdev.attach(other);
    assertNotEquals(moved, 3);
    assertEquals(destroy(3), "ENOENT");
    assertEquals(destroy(other), "EBUSY");
    assertEquals(destroy(ioas), undefined);
    // A device can be attached to the page table, too.
    assertEquals(cdev.attach(moved), moved);
    assertEquals(answer(() => cdev.attach(99)), "ENOENT");
    assertEquals(destroy(other), "EBUSY");
    assertEquals(iommufd.ranges(other, 16).alignment, 4096n);
  },
);

withIommufd(
  "VFIO_DEVICE_ATTACH_IOMMUFD_PT leaves the device where it was when it fails",
  async (setup) => {
    const { cdev, iommufd, ioas } = await setup.readyIoas("edu0");
    const other = iommufd.allocate();
    const { address: user_va } = setup.memory(4096);
    const length = 4096n;
    iommufd.map({ ioas_id: other, user_va, length, iova: 0xfee0_0000n });
    assertEquals(answer(() => cdev.attach(other)), "EADDRINUSE");
    assertEquals(iommufd.ranges(other, 16).alignment, 1n);
    assertEquals(iommufd.ranges(ioas, 16).alignment, 4096n);
    assertEquals(answer(() => iommufd.destroy(ioas)), "EBUSY");
    assertEquals(answer(() => iommufd.destroy(other)), undefined);
  },
);

withIommufd(
  "VFIO_DEVICE_DETACH_IOMMUFD_PT does nothing when it is repeated, and takes no flag",
  async (setup) => {
    const { cdev, iommufd, ioas } = await setup.readyIoas("edu0");
    const detach = (values: Parameters<Cdev["detach"]>[0] = {}) =>
      answer(() => cdev.detach(values));
    assertEquals(detach({ argsz: 7 }), "EINVAL");
    assertEquals(detach({ flags: 2 }), "EINVAL");
    const flags = VFIO_DEVICE_DETACH_PASID;
    assertEquals(detach({ flags, argsz: 8 }), "EINVAL");
    assertEquals(detach({ flags, pasid: 1 }), undefined);
    assertEquals(answer(() => iommufd.destroy(ioas)), "EBUSY");
    assertEquals(detach({ argsz: 8 }), undefined);
    assertEquals(detach(), undefined);
    assertEquals(cdev.attach(ioas), 3);
  },
);

withIommufd(
  "two functions of a group see one IOAS, and move together",
  async (setup) => {
    const first = await setup.cdev("pair0");
    const second = await setup.cdev("pair1");
    const iommufd = setup.iommufd();
    first.bind(iommufd);
    second.bind(iommufd);
    const ioas = iommufd.allocate();
    const other = iommufd.allocate();
    const alignment = (id: number) => iommufd.ranges(id, 16).alignment;
    const pageTable = first.attach(ioas);
    assertEquals(answer(() => second.attach(other)), "EINVAL");
    assertEquals(alignment(other), 1n);
    assertEquals(second.attach(ioas), pageTable);
    assertNotEquals(first.attach(other), pageTable);
    assertEquals([alignment(ioas), alignment(other)], [1n, 4096n]);
    assertEquals(answer(() => iommufd.destroy(ioas)), undefined);
    first.detach();
    assertEquals(alignment(other), 4096n);
    second.detach();
    assertEquals(alignment(other), 1n);
  },
);

withIommufd(
  "functions of two groups share a page table, and its windows",
  async (setup) => {
    const { cdev, iommufd, ioas } = await setup.readyIoas("edu0");
    const other = await setup.cdev("edu1");
    assertEquals(other.bind(iommufd), 4);
    assertEquals(other.attach(ioas), 3);
    cdev.close();
    assertEquals(iommufd.ranges(ioas, 16).alignment, 4096n);
    other.detach();
    assertEquals(iommufd.ranges(ioas, 16).alignment, 1n);
    // The numbers of the first device and of the page table are free again.
    assertEquals([iommufd.allocate(), iommufd.allocate()], [1, 3]);
  },
);

withIommufd(
  "a bound device keeps its iommufd open",
  async (setup) => {
    const { cdev, iommufd, ioas: first } = await setup.readyIoas("edu0");
    const ioas = iommufd.allocate();
    const { address: user_va } = setup.memory(4096);
    iommufd.map({ ioas_id: first, user_va, length: 4096n, iova: 0n });
    iommufd.map({ ioas_id: ioas, user_va, length: 4096n, iova: 0n });
    iommufd.close();
    assertEquals(setup.bench.holdings().locked, 4);
    assertEquals(cdev.attach(ioas), cdev.attach(ioas));
    assertEquals(setup.bench.holdings().locked, 4);
    cdev.close();
    assertEquals(setup.bench.holdings().locked, 0);
  },
);
