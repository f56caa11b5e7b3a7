/** Memory that is copied between spaces, that moves, and too many mappings. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AddressSpace,
  Host,
  type Kernel,
  KernelError,
  VfioDevice,
} from "../../../mod.ts";
import { errnoNumber } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { IOMMU_IOAS_COPY } from "../../../lib/uapi/iommufd/ioas.ts";
import { VFIO_IOMMU_MAP_DMA } from "../../../lib/uapi/vfio/type1.ts";
import { failure, refused } from "../../failures.ts";
import { Edu } from "../../vm/guest/edu.ts";

const EDUS = ["0000:01:00.0", "0000:02:00.0"] as const;
const PAGE = 4096;
const dmaMask = 0xfff_ffffn;
const LIMIT = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";

function twoEdus() {
  const edu = { model: "edu", driver: "vfio-pci" } as const;
  return simulate({ functions: { [EDUS[0]]: edu, [EDUS[1]]: edu } });
}

/** How often a call is made. */
function counted(kernel: Kernel, request: unknown) {
  const calls = { count: 0 };
  const host = new Host({
    kernel: intercept(kernel, ({ args }, proceed) => {
      if (args[1] === request) calls.count++;
      return proceed();
    }),
  });
  return { host, calls };
}

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`${backend}: space.copy() maps what another space has mapped, and both unmap it by themselves`, async () => {
    const host = twoEdus();
    await using one = new AddressSpace({ host, backend });
    await using two = new AddressSpace({ host, backend });
    const edu = new Edu(await VfioDevice.attach(EDUS[1], two));
    await VfioDevice.attach(EDUS[0], one);
    const memory = one.allocate(2 * PAGE, { dmaMask });
    memory.bytes[0] = 9;
    const original = one.map(memory, { dmaMask, writable: false });
    const copy = two.copy(original, { dmaMask });
    assertEquals(copy.writable, false);
    const target = two.map(memory, { dmaMask });
    await edu.copy(copy.iova, target.iova + 4096n, 8);
    assertEquals(memory.bytes[PAGE], 9);
    assertThrows(() => two.copy(original, { writable: true }), TypeError);
    original.unmap();
    await edu.copy(copy.iova, target.iova + 4104n, 8);
    assertEquals(memory.bytes[PAGE + 8], 9);
    await refused("IOVA_OUT_OF_RANGE", () => two.copy(original));
    memory.free();
    assertEquals([...two.mappings()], []);
  });

  Deno.test(`${backend}: space.copy() of a file keeps that open until both are unmapped`, async () => {
    const host = twoEdus();
    const { kernel } = host;
    const fd = kernel.memfd("test", 0);
    kernel.ftruncate(fd, 4096n);
    const open = () =>
      (kernel as unknown as { files: Map<number, unknown> })
        .files.size;
    const before = open();
    await using one = new AddressSpace({ host, backend });
    await using two = new AddressSpace({ host, backend });
    const original = one.mapFile(fd, { size: PAGE });
    const copy = two.copy(original);
    original.unmap();
    await VfioDevice.attach(EDUS[0], two);
    copy.unmap();
    await two.close();
    assertEquals(open(), before);
  });
}

Deno.test("space.copy() pins nothing again where both spaces live in one iommufd", async () => {
  const machine = twoEdus();
  const { host, calls } = counted(machine.kernel, IOMMU_IOAS_COPY);
  const { kernel } = host;
  const iommufd = kernel.open("/dev/iommu", O_RDWR);
  const attach = (name: string, space: AddressSpace) => {
    const [cdev] = kernel.readdir(`/sys/bus/pci/devices/${name}/vfio-dev`);
    const fd = kernel.open(`/dev/vfio/devices/${cdev}`, O_RDWR);
    return VfioDevice.attach({ fd, iommufd }, space);
  };
  await using one = new AddressSpace({ host, backend: "iommufd" });
  await using two = new AddressSpace({ host, backend: "iommufd" });
  await attach(EDUS[0], one);
  const edu = new Edu(await attach(EDUS[1], two));
  const memory = one.allocate(2 * PAGE, { dmaMask });
  memory.bytes[0] = 5;
  const pinned = () => (machine.kernel as unknown as { pinned: number }).pinned;
  const before = pinned();
  const copy = two.copy([...one.mappings()][0]!, { dmaMask });
  assertEquals(calls.count, 1);
  assertEquals(pinned(), before);
  await edu.copy(copy.iova, copy.iova + 4096n, 8);
  assertEquals(memory.bytes[PAGE], 5);
});

Deno.test("legacy: space.dropAddresses() lets memory move while devices go on, until it is told where it is", async () => {
  const host = twoEdus();
  const { kernel } = host;
  await using space = new AddressSpace({ host, backend: "legacy" });
  const edu = new Edu(await VfioDevice.attach(EDUS[0], space));
  const fd = kernel.memfd("test", 0);
  kernel.ftruncate(fd, BigInt(2 * PAGE));
  const first = kernel.mmap(2 * PAGE, 3, 1, fd, 0n);
  const mapping = space.unsafeMap(
    { address: first.address, size: first.length },
    { dmaMask },
  );
  space.updateAddresses();
  space.dropAddresses();
  const second = kernel.mmap(2 * PAGE, 3, 1, fd, 0n);
  kernel.munmap(first);
  kernel.pwrite(fd, Uint8Array.of(1, 2, 3, 4), 0n);
  await edu.copy(mapping.iova, mapping.iova + 4096n, 4);
  const seen = new Uint8Array(4);
  kernel.pread(fd, seen, 4096n);
  assertEquals(seen, Uint8Array.of(1, 2, 3, 4));
  failure("KERNEL", () => space.dropAddresses());
  await refused("DEVICE_BUSY", () => VfioDevice.attach(EDUS[1], space));
  space.updateAddresses(() => second.address);
  assertEquals(mapping.address, second.address);
  await VfioDevice.attach(EDUS[1], space);
  space.dropAddresses();
  space.updateAddresses();
});

Deno.test("iommufd: space.dropAddresses() takes memory that is mapped by its file", async () => {
  const host = twoEdus();
  await using space = new AddressSpace({ host, backend: "iommufd" });
  await VfioDevice.attach(EDUS[0], space);
  space.allocate(PAGE, { memfd: true });
  space.dropAddresses();
  space.updateAddresses();
  space.allocate(PAGE);
  const error = failure("NOT_SUPPORTED", () => space.dropAddresses());
  assert(error.hint!.includes("memfd"));
});

Deno.test("AddressSpace.map() throws MAPPING_LIMIT before it asks the kernel", async () => {
  const machine = twoEdus();
  machine.kernel.writeFile(LIMIT, "3");
  const { host, calls } = counted(machine.kernel, VFIO_IOMMU_MAP_DMA);
  await using space = new AddressSpace({ host, backend: "legacy" });
  await VfioDevice.attach(EDUS[0], space);
  const memory = space.allocate(PAGE);
  let last = space.map(memory);
  space.map(memory);
  for (let i = 0; i < 2; i++) {
    failure("MAPPING_LIMIT", () => space.map(memory));
    await refused("MAPPING_LIMIT", () => space.mapAsync(memory));
    failure("MAPPING_LIMIT", () => space.copy(last));
    assertEquals(calls.count, 3 + i);
    last.unmap();
    last = space.map(memory);
  }
  assertEquals(space.limits().mappingsAvailable, 0);
});

Deno.test("legacy: a container that joins while addresses are dropped leaves them to the others", async () => {
  let refuses = false;
  const kernel = intercept(
    twoEdus().kernel,
    ({ args }, proceed) => {
      if (args[1] === VFIO_IOMMU_MAP_DMA && refuses) {
        throw new KernelError(errnoNumber("ENOMEM"), "ioctl");
      }
      return proceed();
    },
  );
  const host = new Host({ kernel });
  await using space = new AddressSpace({ host, backend: "legacy" });
  await VfioDevice.attach(EDUS[0], space);
  space.allocate(PAGE);
  space.dropAddresses();
  refuses = true;
  failure("KERNEL", () => space.updateAddresses());
  refuses = false;
  space.updateAddresses();
});
