/**
 * Groups and containers, as the kernel answers them (`drivers/vfio/group.c`,
 * `drivers/vfio/container.c`).
 */
import { assertEquals, assertThrows } from "@std/assert";
import { AddressSpace } from "../../../mod.ts";
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from "../../../lib/uapi/vfio/all.ts";
import { refused } from "../../failures.ts";
import { Edu, EDU_DMA_MASK } from "../../vm/guest/edu.ts";
import { answer } from "../answer.ts";
import { Group } from "../nodes.ts";
import { withContainer } from "../setup.ts";

const IN_CONTAINER = VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET;

withContainer(
  "VFIO_GROUP_GET_STATUS returns whether a group is viable, and in a container",
  async (setup) => {
    const container = setup.container();
    const group = await setup.group("edu0");
    assertEquals(group.status(), VFIO_GROUP_FLAGS_VIABLE);
    group.setContainer(container);
    assertEquals(group.status(), IN_CONTAINER);
    group.unsetContainer();
    assertEquals(group.status(), VFIO_GROUP_FLAGS_VIABLE);
    assertEquals(answer(() => group.status({ argsz: 7 })), "EINVAL");
  },
);

withContainer(
  "VFIO_GROUP_SET_CONTAINER fails when a host driver has a function of the group",
  async (setup) => {
    const group = await setup.group("mixed1");
    const container = setup.container();
    assertEquals(group.status(), 0);
    assertEquals(answer(() => group.setContainer(container)), "EPERM");
    await setup.take("mixed0");
    assertEquals(group.status(), VFIO_GROUP_FLAGS_VIABLE);
    group.setContainer(container);
  },
);

withContainer(
  "VFIO_GROUP_SET_CONTAINER takes only one container",
  async (setup) => {
    const group = await setup.group("edu0");
    const container = setup.container();
    const set = (fd: number) => answer(() => group.setContainer({ fd }));
    assertEquals(set(-1), "EBADF");
    assertEquals(set(999), "EBADF");
    assertEquals(set(group.fd), setup.expected.noContainer);
    group.setContainer(container);
    assertEquals(set(container.fd), "EINVAL");
    assertEquals(set(setup.container().fd), "EINVAL");
    assertEquals(set(999), "EBADF");
  },
);

withContainer(
  "VFIO_GROUP_UNSET_CONTAINER fails when the group is in no container, or in use",
  async (setup) => {
    const { group, container } = await setup.readyContainer("edu0");
    using device = group.device(setup.address("edu0"));
    assertEquals(answer(() => group.unsetContainer()), "EBUSY");
    device.close();
    group.unsetContainer();
    assertEquals(answer(() => group.unsetContainer()), "EINVAL");
    group.setContainer(container);
  },
);

withContainer(
  "open() of a group fails when the group is open",
  async (setup) => {
    const group = await setup.group("edu0");
    const { iommuGroup } = await setup.take("edu0");
    const again = () =>
      new Group(setup.kernel, `/dev/vfio/${iommuGroup!.id}`).close();
    assertEquals(answer(again), "EBUSY");
    const container = setup.container();
    group.setContainer(container);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    // The device keeps the group open.
    using _device = group.device(setup.address("edu0"));
    group.close();
    assertEquals(answer(again), "EBUSY");
    _device.close();
    again();
  },
);

withContainer(
  "VFIO_GROUP_GET_DEVICE_FD needs a device of the group, and a ready container",
  async (setup) => {
    const group = await setup.group("pair0");
    const container = setup.container();
    const address = setup.address("pair0");
    const open = (name: string) => answer(() => group.device(name).close());
    assertEquals(open(address), "EINVAL");
    group.setContainer(container);
    assertEquals(open(address), "EINVAL");
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    assertEquals(open(""), "ENODEV");
    assertEquals(open("0000:00:1d.7"), "ENODEV");
    assertEquals(open(setup.address("edu0")), "ENODEV");
    // It is in the group, but has no VFIO driver.
    assertEquals(open(setup.address("pair1")), "ENODEV");
    await setup.take("pair1");
    assertEquals(open(setup.address("pair1")), undefined);
    assertEquals(open(`${address} vf_token=`), "EINVAL");
    assertEquals(open(`${address} nonsense`), "EINVAL");
    assertEquals(open(address), undefined);
  },
);

withContainer(
  "VFIO_GROUP_GET_DEVICE_FD opens a device several times",
  async (setup) => {
    const { group } = await setup.readyContainer("edu0");
    using first = group.device(setup.address("edu0"));
    using second = group.device(setup.address("edu0"));
    first.close();
    assertEquals(answer(() => group.unsetContainer()), "EBUSY");
    assertEquals(second.read(0, 0, 4).length, 4);
    second.close();
    group.unsetContainer();
  },
);

withContainer(
  "VFIO_SET_IOMMU needs a group in the container, and a type that it supports",
  async (setup) => {
    const group = await setup.group("edu0");
    const container = setup.container();
    const set = (type: number) => answer(() => container.setIommu(type));
    assertEquals(set(VFIO_TYPE1v2_IOMMU), "EINVAL");
    group.setContainer(container);
    assertEquals(set(VFIO_NOIOMMU_IOMMU), "ENODEV");
    assertEquals(set(VFIO_SPAPR_TCE_IOMMU), "ENODEV");
    assertEquals(set(99), "ENODEV");
    assertEquals(set(VFIO_DMA_CC_IOMMU), "ENODEV");
    // This is an extension of type 1, not a type.
    assertEquals(set(VFIO_UNMAP_ALL), "EINVAL");
    assertEquals(set(VFIO_TYPE1_IOMMU), undefined);
    assertEquals(set(VFIO_TYPE1_IOMMU), "EINVAL");
    assertEquals(set(VFIO_TYPE1v2_IOMMU), "EINVAL");
    group.unsetContainer();
    assertEquals(set(VFIO_TYPE1v2_IOMMU), "EINVAL");
    group.setContainer(container);
    assertEquals(set(VFIO_TYPE1v2_IOMMU), undefined);
  },
);

withContainer(
  "AddressSpace takes a container of the version that is asked for",
  async (setup) => {
    for (const [version, logs] of [["v1", false], ["v2", true]] as const) {
      const space = setup.space({ container: version });
      const device = await setup.attach("edu0", space);
      const memory = space.allocate(8192, { dmaMask: EDU_DMA_MASK });
      memory.bytes.fill(7, 0, 4096);
      await new Edu(device).copy(memory.iova, memory.iova + 4096n, 4096);
      assertEquals(memory.bytes[8191], 7);
      const start = () => space.dirty.start({ by: "iommu" });
      if (logs) await start();
      else await refused("NOT_SUPPORTED", start);
      await space.close();
    }
    const space = setup.space({ container: "nesting" });
    await refused("BACKEND_UNAVAILABLE", () => setup.attach("edu0", space));
    assertEquals(setup.locked, 0);
    const { host } = setup;
    for (
      const options of [
        { backend: "iommufd", container: "v2" },
        { container: "v3" as "v2" },
      ] as const
    ) assertThrows(() => new AddressSpace({ host, ...options }), TypeError);
  },
);

withContainer(
  "a container keeps its IOMMU until its last group leaves",
  async (setup) => {
    const { group, container } = await setup.readyContainer("edu0");
    const second = await setup.group("edu1");
    second.setContainer(container);
    const { address: vaddr } = setup.memory(4096);
    container.map({ vaddr, iova: 0n, size: 4096n });
    group.unsetContainer();
    assertEquals(container.unmap({ iova: 0n, size: 4096n }), 4096n);
    container.map({ vaddr, iova: 0n, size: 4096n });
    assertEquals(setup.bench.holdings().locked, 4);
    second.unsetContainer();
    assertEquals(setup.bench.holdings().locked, 0);
    const unmap = () => container.unmap({ iova: 0n, size: 4096n });
    assertEquals(answer(unmap), "EINVAL");
  },
);

withContainer(
  "a container still serves its groups when it was closed",
  async (setup) => {
    const { group, container } = await setup.readyContainer("edu0");
    container.close();
    using device = group.device(setup.address("edu0"));
    assertEquals(device.read(0, 0, 4).length, 4);
    assertEquals(group.status(), IN_CONTAINER);
  },
);

withContainer(
  "a container and a group answer ENOTTY when they do not know the ioctl",
  async (setup) => {
    const { group, container } = await setup.readyContainer("edu0");
    const unknown = { name: "VFIO_UNKNOWN", request: 0x3bff } as never;
    assertEquals(answer(() => group.ioctl(unknown, 0n)), "ENOTTY");
    assertEquals(answer(() => container.ioctl(unknown, 0n)), "ENOTTY");
    group.unsetContainer();
    assertEquals(answer(() => container.ioctl(unknown, 0n)), "EINVAL");
  },
);
