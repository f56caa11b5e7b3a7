/**
 * A machine without an IOMMU: errors say what is missing, and a device is
 * attached without an IOMMU only when both the kernel and the library are asked
 * for that.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { AddressSpace, type PciFunction, VfioDevice } from "../../../mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import {
  VFIO_NOIOMMU_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../../../lib/uapi/vfio/all.ts";
import { refused } from "../../failures.ts";
import { EDU_ID } from "../../vm/guest/edu.ts";
import { answer } from "../answer.ts";
import { since } from "../bench.ts";
import { type Setup, withoutIommu } from "../setup.ts";
import { attachUnsafely, backendsOf } from "../without_iommu.ts";

/** The message for a virtual machine with any processor. */
const explanation = (setup: Setup) =>
  `vfio ${setup.address("edu0")}: it has no IOMMU group: this is a virtual ` +
  "machine, and it was given no IOMMU\n" +
  "hint: let its monitor give it one (QEMU: -device intel-iommu, or -device " +
  "virtio-iommu-pci) and boot with intel_iommu=on";

/** An address space without an IOMMU, and a function for it. */
async function unsafe(
  setup: Setup,
): Promise<{ space: AddressSpace; fn: PciFunction }> {
  const { host } = setup;
  const fn = await setup.take("edu0");
  return { space: new AddressSpace({ host, unsafeNoIommu: true }), fn };
}

withoutIommu(
  "VfioDevice.attach() throws NO_IOMMU_GROUP, and says what is missing, when the machine has no IOMMU",
  async (setup) => {
    await using space = setup.space({ backend: "legacy" });
    const error = await refused(
      "NO_IOMMU_GROUP",
      () => VfioDevice.attach(setup.address("edu0"), space),
    );
    assertEquals(error.message, explanation(setup));
  },
);

withoutIommu(
  "VfioDevice.attach() throws NO_IOMMU_GROUP when no IOMMU isolates the group and that was not asked for",
  async (setup) => {
    using _mode = setup.noIommuMode();
    const fn = await setup.take("edu0");
    assertEquals(fn.iommuGroup?.name, "vfio-noiommu");
    const error = await refused("NO_IOMMU_GROUP", () => setup.attach("edu0"));
    assertEquals(error.message, explanation(setup));
  },
);

withoutIommu(
  "VfioDevice.attach() attaches a device without an IOMMU by each backend that the kernel has, when that is asked for",
  async (setup) => {
    using _mode = setup.noIommuMode();
    const fn = await setup.take("edu0");
    const before = setup.bench.holdings();
    for (const backend of backendsOf(setup)) {
      const { space, device } = await attachUnsafely(setup, backend);
      assertEquals(space.backend, { backend, reason: "asked for" });
      assertEquals(device.config.read16(0), fn.vendor);
      assertEquals(device.region(0).map().read32(0), EDU_ID);
      assertEquals(space.limits().ranges, []);
      await space.close();
      assertEquals(setup.bench.holdings(), before);
    }
  },
);

withoutIommu(
  "VfioDevice.attach() chooses the backend of a device without an IOMMU, and says why",
  async (setup) => {
    using _mode = setup.noIommuMode();
    const { space, fn } = await unsafe(setup);
    await VfioDevice.attach(fn, space);
    const { cdev } = vfioNodes(fn);
    assertEquals(
      space.backend,
      cdev === undefined
        ? {
          backend: "legacy",
          reason: "without an IOMMU only the container serves the device",
        }
        : {
          backend: "iommufd",
          reason: `/dev/iommu and ${cdev} both work`,
        },
    );
    await space.close();
  },
);

withoutIommu(
  "VfioDevice.attach() is NOT_SUPPORTED, and says why, when memory was mapped at an IOVA before the device without an IOMMU came",
  async (setup) => {
    using _mode = setup.noIommuMode();
    const { host } = setup;
    const fn = await setup.take("edu0");
    for (const backend of backendsOf(setup)) {
      await using space = new AddressSpace({
        host,
        backend,
        unsafeNoIommu: true,
      });
      const before = setup.bench.holdings();
      const memory = space.allocate(4096);
      const error = await refused(
        "NOT_SUPPORTED",
        () => VfioDevice.attach(fn, space),
      );
      assertMatch(error.message, /cannot map 4096 bytes .*no IOMMU/);
      memory.free();
      assertEquals(setup.bench.holdings(), before);
    }
  },
);

withoutIommu(
  "vfio-pci takes a device without an IOMMU only when no-IOMMU mode is on",
  (setup) => {
    const { kernel } = setup;
    const address = setup.address("edu0");
    const device = `/sys/bus/pci/devices/${address}`;
    const bind = () => kernel.writeFile("/sys/bus/pci/drivers_probe", address);
    kernel.writeFile(`${device}/driver_override`, "vfio-pci");
    try {
      assertEquals(answer(bind), undefined);
      const { driver, iommuGroup } = setup.host.function(address);
      assertEquals([driver, iommuGroup], [undefined, undefined]);
    } finally {
      kernel.writeFile(`${device}/driver_override`, "\n");
    }
  },
);

withoutIommu(
  "a container of a device without an IOMMU takes no other group, and maps nothing",
  async (setup) => {
    using _mode = setup.noIommuMode();
    const group = await setup.group("edu0");
    const container = setup.container();
    const types = [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_NOIOMMU_IOMMU];
    const extensions = () => types.map((type) => container.extension(type));
    assertEquals(extensions(), [1, 1, 1]);
    group.setContainer(container);
    assertEquals(extensions(), [0, 0, 1]);
    for (const type of [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, 99]) {
      assertEquals(answer(() => container.setIommu(type)), "ENODEV");
    }
    container.setIommu(VFIO_NOIOMMU_IOMMU);
    assertEquals(extensions(), [0, 0, 1]);
    const { address: vaddr } = setup.memory(4096);
    const map = () => container.map({ vaddr, iova: 0n, size: 4096n });
    assertEquals(answer(map), "ENOTTY");
    assertEquals(
      answer(() => container.unmap({ iova: 0n, size: 4096n })),
      "ENOTTY",
    );
    using device = group.device(setup.address("edu0"));
    assertEquals(device.read(0, 0, 4).length, 4);
  },
);

withoutIommu(
  "a device without an IOMMU has its own node since Linux 7.3, and an IOAS without reserved windows",
  async (setup) => {
    using _mode = setup.noIommuMode();
    const { cdev: node } = vfioNodes(await setup.take("edu0"));
    if (!since(setup.bench.release, 7, 3)) {
      assertEquals(node, undefined);
      return;
    }
    assertMatch(node!, /^\/dev\/vfio\/devices\/noiommu-vfio\d+$/);
    const cdev = await setup.cdev("edu0");
    const iommufd = setup.iommufd();
    const device = cdev.bind(iommufd);
    const group = await setup.group("edu0").catch(() => undefined);
    assertEquals(group, undefined);
    const ioas = iommufd.allocate();
    assertEquals(answer(() => cdev.attach(device)), "EINVAL");
    assertEquals(answer(() => cdev.attach(99)), "ENOENT");

    // Without a translation every IOVA can be mapped, and memory is pinned.
    const { address: user_va } = setup.memory(8192);
    const map = (iova: bigint, length = 4096n) =>
      iommufd.map({ ioas_id: ioas, user_va, iova, length });
    map(0xfee0_0000n);
    const before = setup.locked;
    const table = cdev.attach(ioas);
    assertEquals(table !== ioas, true);
    assertEquals(setup.locked, before + 4);
    assertEquals(iommufd.ranges(ioas, 4), {
      errno: 0,
      count: 1,
      ranges: [{ start: 0n, last: 0xffff_ffff_ffff_ffffn }],
      alignment: 4096n,
    });
    map(1n << 60n);
    assertEquals(setup.locked, before + 8);
    assertEquals(answer(() => map(0x800n)), "EINVAL");
    assertEquals(answer(() => iommufd.destroy(ioas)), "EBUSY");
    assertEquals(cdev.read(0, 0, 4).length, 4);

    // Attaches it to the same IOAS, to its page table, and to another.
    assertEquals(cdev.attach(ioas), table);
    assertEquals(cdev.attach(table), table);
    const other = iommufd.allocate();
    assertEquals(answer(() => cdev.attach(other)), table + 2);
    assertEquals(setup.locked, before);
    cdev.detach();
    iommufd.destroy(other);
    iommufd.destroy(ioas);
  },
);
