import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AddressSpace,
  type DmaMemory,
  Host,
  type Kernel,
  VfioDevice,
} from "../../../mod.ts";
import { Hwpt } from "../../../backends/iommufd/mod.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { VFIO_DEVICE_FEATURE } from "../../../lib/uapi/vfio/feature_ioctl.ts";
import { IOMMU_HWPT_ALLOC } from "../../../lib/uapi/iommufd/hwpt.ts";
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
} from "../../../lib/uapi/vfio/cdev.ts";
import { VFIO_GROUP_SET_CONTAINER } from "../../../lib/uapi/vfio/container.ts";
import {
  VFIO_IOMMU_DIRTY_PAGES,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
} from "../../../lib/uapi/vfio/type1.ts";
import { refused } from "../../failures.ts";
import { Edu } from "../../vm/guest/edu.ts";
import { SCRATCHPAD } from "../device/movable.ts";

const LOGGING = ["0000:01:00.0", "0000:02:00.0"] as const;
const EDU = "0000:03:00.0";
const OTHER = "0000:04:00.0";
const PAGE = 4096;
const dmaMask = 0xfff_ffffn;

/** Devices that log what they write, and one that does not. */
function host(
  decorate = (kernel: Kernel): Kernel => kernel,
  dirtyTracking = false,
): Host {
  const device = { model: "scratchpad", driver: "mlx5_vfio_pci" };
  const { kernel } = simulate({
    dirtyTracking,
    functions: {
      [LOGGING[0]]: device,
      [LOGGING[1]]: device,
      [EDU]: { model: "edu", driver: "vfio-pci" },
      [OTHER]: { model: "edu", driver: "vfio-pci" },
    },
  });
  return new Host({ kernel: decorate(kernel) });
}

/** Has a scratchpad write to a page of memory. */
function write(device: VfioDevice, memory: DmaMemory, page: number, bytes = 8) {
  device.setBusMaster(true);
  const registers = device.region(0);
  const target = memory.iova + BigInt(page * PAGE);
  registers.write64(SCRATCHPAD.dmaTarget, target);
  registers.write32(SCRATCHPAD.dmaCount, bytes);
  registers.write32(SCRATCHPAD.run, 1);
}

/** The pages of memory that a bitmap marks. */
function pagesOf(
  ranges: Iterable<{ iova: bigint; size: bigint }>,
  memory: { readonly iova: bigint },
): number[] {
  return [...ranges].flatMap(({ iova, size }) =>
    Array.from(
      { length: Number(size) / PAGE },
      (_, i) => Number(iova - memory.iova) / PAGE + i,
    )
  );
}

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`${backend}: space.dirty tells what devices write that log it, each page once`, async () => {
    await using space = new AddressSpace({ host: host(), backend });
    const one = await VfioDevice.attach(LOGGING[0], space);
    const two = await VfioDevice.attach(LOGGING[1], space);
    const memory = space.allocate(64 * PAGE);
    write(one, memory, 3);
    assertEquals(space.dirty.by, undefined);
    await space.dirty.start();
    assertEquals(space.dirty.by, "devices");
    assertEquals(space.dirty.reason, "every device logs what it writes");
    write(one, memory, 5, PAGE + 1);
    write(two, memory, 63);
    const kept = await space.dirty.read(memory, { clear: false });
    assertEquals(pagesOf(kept, memory), [5, 6, 63]);
    assertEquals(kept.exact, true);
    const part = { iova: memory.iova + BigInt(6 * PAGE), size: 2 * PAGE };
    assertEquals(pagesOf(await space.dirty.read(part), memory), [6]);
    assertEquals(pagesOf(await space.dirty.read(memory), memory), [5, 63]);
    assertEquals(pagesOf(await space.dirty.read(memory), memory), []);
    await space.dirty.stop();
    await space.dirty.stop();
    assertEquals(space.dirty.by, undefined);
  });

  Deno.test(`${backend}: space.dirty.unmap() loses no write`, async () => {
    await using space = new AddressSpace({ host: host(), backend });
    const one = await VfioDevice.attach(LOGGING[0], space);
    const memory = space.allocate(8 * PAGE);
    const mapping = space.map(memory);
    await space.dirty.start();
    const { iova } = memory;
    write(one, memory, 1);
    await space.dirty.read(memory, { clear: false });
    write(one, memory, 4);
    space.unmap(memory.iova);
    assertEquals(
      pagesOf(await space.dirty.read({ iova, size: 8 * PAGE }), { iova }),
      [1],
    );
    const again = await space.dirty.unmap(mapping);
    assertEquals(again.iova, mapping.iova);
    assertEquals(again.dirtyPages, 0);
    await refused("IOVA_OUT_OF_RANGE", () => space.dirty.unmap(mapping));
  });

  Deno.test(`${backend}: space.dirty takes what was mapped after the start of devices' logs as written`, async () => {
    await using space = new AddressSpace({ host: host(), backend });
    await VfioDevice.attach(LOGGING[0], space);
    const memory = space.allocate(4 * PAGE);
    await space.dirty.start({ by: "devices" });
    const later = space.allocate(4 * PAGE);
    for (let i = 0; i < 2; i++) {
      const told = await space.dirty.read(later);
      assertEquals(told.dirtyPages, 4);
      assert(told.reason!.includes("mapped when"));
    }
    assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
  });

  Deno.test(`${backend}: space.dirty starts the log of a device that comes, and takes all as written where it has none`, async () => {
    await using space = new AddressSpace({ host: host(), backend });
    await VfioDevice.attach(LOGGING[0], space);
    const memory = space.allocate(8 * PAGE);
    await space.dirty.start();
    const two = await VfioDevice.attach(LOGGING[1], space);
    write(two, memory, 2);
    assertEquals(pagesOf(await space.dirty.read(memory), memory), [2]);
    write(two, memory, 2);
    await two.detach();
    const lost = await space.dirty.read(memory);
    assertEquals(lost.dirtyPages, 8);
    assert(lost.reason!.includes(`${LOGGING[1]} was detached`));
    assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
    await VfioDevice.attach(EDU, space);
    for (let i = 0; i < 2; i++) {
      const told = await space.dirty.read(memory);
      assertEquals(told.dirtyPages, 8);
      assert(told.reason!.includes(EDU), told.reason);
    }
  });

  Deno.test(`${backend}: space.dirty tells all of what it could not read`, async () => {
    let fails = false;
    const failing = (kernel: Kernel) =>
      intercept(kernel, ({ method, args }, proceed) => {
        const isReport = method === "ioctlAsync" &&
          args[1] === VFIO_DEVICE_FEATURE;
        if (!isReport || !fails) return proceed();
        fails = false;
        throw new KernelError(errnoNumber("ENOMEM"), "ioctl");
      });
    await using space = new AddressSpace({ host: host(failing), backend });
    const one = await VfioDevice.attach(LOGGING[0], space);
    const memory = space.allocate(8 * PAGE);
    await space.dirty.start();
    write(one, memory, 2);
    fails = true;
    const part = { iova: memory.iova, size: 4 * PAGE };
    const told = await space.dirty.read(part, { clear: false });
    assertEquals(told.dirtyPages, 4);
    assert(told.reason!.includes("could not be read"));
    assertEquals((await space.dirty.read(memory)).dirtyPages, 4);
    assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
  });

  Deno.test(`${backend}: space.dirty refuses what makes no sense`, async () => {
    await using space = new AddressSpace({ host: host(), backend });
    await refused("DETACHED", () => space.dirty.start());
    await VfioDevice.attach(LOGGING[0], space);
    const memory = space.allocate(PAGE);
    await assertRejects(() => space.dirty.read(memory), TypeError);
    await space.dirty.start();
    await assertRejects(() => space.dirty.start(), TypeError);
    for (const size of [0, 1, -4096, 2 ** 60 + 1]) {
      const range = { iova: memory.iova, size };
      await assertRejects(() => space.dirty.read(range), RangeError);
    }
    const range = { iova: memory.iova + 1n, size: PAGE };
    await assertRejects(() => space.dirty.read(range), RangeError);
  });
}

Deno.test("space.dirty of a container takes all mapped memory as written, and says why", async () => {
  await using space = new AddressSpace({ host: host(), backend: "legacy" });
  await VfioDevice.attach(EDU, space);
  const memory = space.allocate(8 * PAGE, { iova: 0x10_0000n });
  space.allocate(2 * PAGE, { iova: 0x20_0000n });
  await refused("NOT_SUPPORTED", () => space.dirty.start({ by: "devices" }));
  await space.dirty.start();
  assertEquals(space.dirty.by, "container");
  assertEquals(space.dirty.reason, `${EDU} has no log of its own`);
  for (let i = 0; i < 2; i++) {
    const all = await space.dirty.read({ iova: 0n, size: 0x100_0000 });
    assertEquals([...all], [
      { iova: 0x10_0000n, size: BigInt(8 * PAGE) },
      { iova: 0x20_0000n, size: BigInt(2 * PAGE) },
    ]);
    assertEquals(all.exact, false);
    assert(all.reason!.includes("an IOMMU translates"));
  }
  const inside = { iova: 0x10_2000n, size: 3 * PAGE };
  assertEquals((await space.dirty.read(inside)).dirtyPages, 3);
  const mapping = space.map(memory, { iova: 0x30_0000n });
  const told = await space.dirty.unmap(mapping);
  assertEquals(told.dirtyPages, 8);
  assertEquals((await space.dirty.read(mapping)).dirtyPages, 0);
});

Deno.test("space.dirty takes all memory as written where neither devices nor the container log it", async () => {
  const old = (kernel: Kernel) =>
    intercept(kernel, ({ args }, proceed) => {
      if (args[1] !== VFIO_IOMMU_DIRTY_PAGES) return proceed();
      throw new KernelError(errnoNumber("ENOTTY"), "ioctl");
    });
  await using space = new AddressSpace({ host: host(old), backend: "legacy" });
  await VfioDevice.attach(EDU, space);
  const memory = space.allocate(8 * PAGE);
  await refused("NOT_SUPPORTED", () => space.dirty.start({ by: "iommu" }));
  await space.dirty.start();
  assertEquals(space.dirty.by, "nothing");
  assert(space.dirty.reason!.includes("the container has no log"));
  assertEquals((await space.dirty.read(memory)).dirtyPages, 8);
  const [mapping] = [space.map(memory)];
  assertEquals((await space.dirty.unmap(mapping)).dirtyPages, 8);
  await space.dirty.stop();
});

Deno.test("space.dirty of page tables tells exactly the pages that devices write", async () => {
  await using space = new AddressSpace({
    host: host(undefined, true),
    backend: "iommufd",
  });
  const one = new Edu(await VfioDevice.attach(EDU, space));
  const memory = space.allocate(64 * PAGE, { dmaMask });
  const page = (number: number) => memory.iova + BigInt(number * PAGE);
  await one.copyFromDevice(page(1), 8);
  await space.dirty.start();
  assertEquals(space.dirty.by, "hwpt");
  assertEquals(space.dirty.reason, `${EDU} has no log of its own`);
  const later = space.allocate(PAGE, { dmaMask });
  const two = new Edu(await VfioDevice.attach(OTHER, space));
  await one.copyFromDevice(page(2) - 4n, 8);
  await two.copyFromDevice(page(63), 8);
  await two.copyFromDevice(later.iova, 8);
  const kept = await space.dirty.read(memory, { clear: false });
  assertEquals(pagesOf(kept, memory), [1, 2, 63]);
  assertEquals(kept.exact, true);
  const part = { iova: page(2), size: 2 * PAGE };
  assertEquals(pagesOf(await space.dirty.read(part), memory), [2]);
  assertEquals(pagesOf(await space.dirty.read(memory), memory), [1, 63]);
  assertEquals(pagesOf(await space.dirty.read(memory), memory), []);
  const everything = { iova: 0n, size: 2 ** 28 };
  assertEquals([...await space.dirty.read(everything)], [
    { iova: later.iova, size: BigInt(PAGE) },
  ]);
  await space.dirty.stop();
  await one.copyFromDevice(page(5), 8);
  await space.dirty.start({ by: "iommu" });
  assertEquals(space.dirty.reason, "asked for");
  assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
});

Deno.test("space.dirty.unmap() of page tables tells all unless no device writes", async () => {
  await using space = new AddressSpace({
    host: host(undefined, true),
    backend: "iommufd",
  });
  const device = await VfioDevice.attach(EDU, space);
  const edu = new Edu(device);
  const memory = space.allocate(4 * PAGE, { dmaMask });
  const [one, two] = [
    space.map(memory, { dmaMask }),
    space.map(memory, { dmaMask }),
  ];
  await space.dirty.start();
  await edu.copyFromDevice(one!.iova, 8);
  await edu.copyFromDevice(two!.iova + 4096n, 8);
  const all = await space.dirty.unmap(one!);
  assertEquals(all.dirtyPages, 4);
  assert(all.reason!.includes(`${EDU} could write`));
  device.setBusMaster(false);
  const exact = await space.dirty.unmap(two!);
  assertEquals(pagesOf(exact, two!), [1]);
  assertEquals(exact.exact, true);
});

Deno.test("space.dirty takes all as written when a device joins page tables that cannot serve it", async () => {
  let refuses = false;
  const failing = (kernel: Kernel) =>
    intercept(kernel, ({ args }, proceed) => {
      if (!refuses) return proceed();
      // As if it were another IOMMU's, which logs nothing.
      if (args[1] === IOMMU_HWPT_ALLOC) {
        throw new KernelError(errnoNumber("EOPNOTSUPP"), "ioctl");
      }
      if (args[1] !== VFIO_DEVICE_ATTACH_IOMMUFD_PT) return proceed();
      const { pt_id } = vfio_device_attach_iommufd_pt
        .decode(args[2] as Uint8Array);
      if (pt_id === ioas) return proceed();
      throw new KernelError(errnoNumber("EINVAL"), "ioctl");
    });
  // The first object of an iommufd.
  const ioas = 1;
  await using space = new AddressSpace({
    host: host(failing, true),
    backend: "iommufd",
  });
  await VfioDevice.attach(EDU, space);
  const memory = space.allocate(4 * PAGE, { dmaMask });
  await space.dirty.start();
  assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
  refuses = true;
  await VfioDevice.attach(OTHER, space);
  const told = await space.dirty.read(memory);
  assertEquals(told.dirtyPages, 4);
  assert(told.reason!.includes(OTHER), told.reason);
});

Deno.test("space.dirty of several containers tells what is written in one of them, also in one that comes", async () => {
  // The first container takes one group only.
  let groups = 0;
  const picky = (kernel: Kernel) =>
    intercept(kernel, ({ args }, proceed) => {
      if (args[1] === VFIO_GROUP_SET_CONTAINER && ++groups === 2) {
        throw new KernelError(errnoNumber("EINVAL"), "ioctl");
      }
      return proceed();
    });
  await using space = new AddressSpace({
    host: host(picky),
    backend: "legacy",
  });
  await VfioDevice.attach(EDU, space);
  const memory = space.allocate(4 * PAGE, { dmaMask });
  await space.dirty.start();
  const other = new Edu(await VfioDevice.attach(OTHER, space));
  assertEquals(groups, 3);
  const mapping = space.map(memory, { dmaMask });
  await other.copyFromDevice(mapping.iova, 8);
  assertEquals((await space.dirty.read(mapping)).dirtyPages, 4);
  assertEquals((await space.dirty.unmap(mapping)).dirtyPages, 4);
  assertEquals(space.translate(mapping.iova), undefined);
  await space.dirty.stop();
});

Deno.test("space.dirty of a container without an IOMMU's group keeps what it tells beside what was asked for", async () => {
  const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const parent = "/sys/devices/virtual/mtty/mtty";
  const simulated = simulate({
    mediatedTypes: { [parent]: { "mtty-1": { instances: 2 } } },
    mediated: { [uuid]: { parent, type: "mtty-1" } },
  });
  const { memory: process } = simulated.kernel as unknown as {
    memory: { buffer(address: bigint): Uint8Array };
  };
  /** Pages of a mapping that the device's driver has written. */
  let written: number[] = [];
  const kernel = intercept(simulated.kernel, ({ args }, proceed) => {
    if (args[1] !== VFIO_IOMMU_DIRTY_PAGES) return proceed();
    const result = proceed();
    const argument = args[2] as Uint8Array;
    if (argument.length === vfio_iommu_type1_dirty_bitmap.size) return result;
    const { bitmap } = vfio_iommu_type1_dirty_bitmap_get
      .decode(argument, vfio_iommu_type1_dirty_bitmap.size);
    const bits = process.buffer(bitmap.data);
    for (const page of written) bits[page >> 3]! |= 1 << page % 8;
    written = [];
    return result;
  });
  const on = new Host({ kernel });
  await using space = new AddressSpace({ host: on, backend: "legacy" });
  const device = on.find(`/sys/bus/mdev/devices/${uuid}`);
  await VfioDevice.attach(device, space);
  const memory = space.allocate(70 * PAGE);
  // The sample has a log of its own, which is always empty.
  await space.dirty.start({ by: "iommu" });
  written = [0, 3, 64, 69];
  const page = (number: number) => memory.iova + BigInt(number * PAGE);
  const first = await space.dirty.read({ iova: page(2), size: 3 * PAGE });
  assertEquals(pagesOf(first, memory), [3]);
  assertEquals(first.exact, true);
  written = [1];
  const kept = await space.dirty.read(memory, { clear: false });
  assertEquals(pagesOf(kept, memory), [0, 1, 64, 69]);
  const rest = await space.dirty.read({ iova: page(0), size: 65 * PAGE });
  assertEquals(pagesOf(rest, memory), [0, 1, 64]);
  assertEquals(pagesOf(await space.dirty.read(memory), memory), [69]);
  assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
});

Deno.test("space.dirty takes all as written when somebody moves a device to another page table", async () => {
  await using space = new AddressSpace({
    host: host(undefined, true),
    backend: "iommufd",
  });
  const device = await VfioDevice.attach(EDU, space);
  const memory = space.allocate(4 * PAGE);
  const { ioas, find } = await space.iommufd();
  await space.dirty.start();
  assertEquals(space.dirty.by, "hwpt");
  assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
  const bound = find(device);
  const table = Hwpt.allocate(bound, ioas);
  bound.attach(table);
  const told = await space.dirty.read(memory);
  assertEquals(told.dirtyPages, 4);
  assert(told.reason!.includes("another page table"));
  await space.dirty.stop();
  await refused("NOT_SUPPORTED", () => space.dirty.start({ by: "iommu" }));
  bound.attach(ioas);
  await space.dirty.start({ by: "iommu" });
});
