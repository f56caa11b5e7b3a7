import { assert, assertEquals, assertThrows } from "@std/assert";
import type { AllocateOptions } from "../../../lib/dma/host_memory.ts";
import { VfioError } from "../../../lib/errors.ts";
import { failure } from "../../failures.ts";
import { FakeVfio } from "../fake_vfio.ts";

for (const bytes of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) {
  Deno.test(`AddressSpace.allocate() throws a RangeError when the size is ${bytes} bytes`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(
      () => space.allocate(bytes),
      RangeError,
      `Cannot allocate ${bytes} bytes: expected a positive whole number`,
    );
    assertEquals(vfio.calls, []);
  });
}

Deno.test("AddressSpace.allocate() throws a TypeError when there are no such huge pages", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  for (const hugepages of ["4M", "2m", "", "toString"]) {
    const options = { hugepages } as unknown as AllocateOptions;
    assertThrows(() => space.allocate(4096, options), TypeError, hugepages);
  }
  assertEquals(vfio.calls, []);
});

for (
  const [what, options, error] of [
    ["the IOVA is not aligned", { iova: 1n }, RangeError],
    ["the mask has holes", { dmaMask: 5n }, RangeError],
    ["the IOVA is out of range", { iova: 1n << 50n }, VfioError],
    ["nothing is free in the mask", { dmaMask: 0xffn }, VfioError],
  ] as const
) {
  Deno.test(`AddressSpace.allocate() keeps no memory when ${what}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(() => space.allocate(4096, options), error);
    assertEquals(vfio.memory.size, 0);
    assertEquals(
      vfio.calls.filter((name) => name.startsWith("VFIO_")),
      [],
    );
  });
}

Deno.test("AddressSpace.allocate() keeps no memory when the kernel refuses the mapping", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  vfio.errors.set("VFIO_IOMMU_MAP_DMA", "ENOMEM");
  failure("NO_MEMORY", () => space.allocate(4096));
  assertEquals(vfio.memory.size, 0);
});

Deno.test("AddressSpace.allocate() throws MEMLOCK_LIMIT when the limit is too low", async () => {
  const vfio = new FakeVfio({ uid: 1000, memlock: 65536 });
  const { space } = await vfio.attach();
  vfio.process.locked = 8192;
  vfio.errors.set("VFIO_IOMMU_MAP_DMA", "ENOMEM");
  const error = failure("MEMLOCK_LIMIT", () => space.allocate(61440));
  assertEquals(
    error.message.split("\n")[0],
    "vfio: mapping 61440 bytes needs 69632 bytes of locked memory, and the " +
      "limit is 65536",
  );
  assertEquals(vfio.memory.size, 0);
});

Deno.test("AddressSpace.allocate() throws NO_MEMORY when there is no memory", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  vfio.errors.set("mmap", "ENOMEM");
  failure("NO_MEMORY", () => space.allocate(4097));
  vfio.errors.set("mmap", "ENOMEM");
  const error = failure(
    "NO_MEMORY",
    () => space.allocate(1, { hugepages: "2M" }),
  );
  assertEquals(
    error.message,
    "vfio: the pool of 2M huge pages has no 2097152 bytes left\n" +
      "hint: reserve more: " +
      "echo N > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
  );
  assertEquals(vfio.iommu.size, 0);
});

Deno.test("AddressSpace.allocate() rounds up to whole pages of the given size", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const sizes = [
    space.allocate(1),
    space.allocate(4096),
    space.allocate(4097),
    space.allocate(1, { hugepages: "2M" }),
    space.allocate(2 ** 30 + 1, { hugepages: "1G" }),
  ].map(({ size, iova }) => {
    assertEquals(vfio.iommu.get(iova), BigInt(size));
    return size;
  });
  assertEquals(sizes, [4096, 4096, 8192, 2 ** 21, 2 ** 31]);
  assertEquals([...vfio.memory.values()], sizes);
});

Deno.test("DmaMemory.free() unmaps the memory everywhere, once, and empties its views", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const memory = space.allocate(4096);
  const view = new Uint32Array(memory.buffer);
  view[0] = 1;
  assertEquals(memory.bytes[0], 1);
  memory.free();
  memory.free();
  memory[Symbol.dispose]();
  assertEquals([vfio.iommu.size, vfio.memory.size], [0, 0]);
  assertEquals([view.length, view[0], memory.buffer.byteLength], [
    0,
    undefined,
    0,
  ]);
  const error = failure("DETACHED", () => memory.bytes);
  assert(error.message.includes("the DMA memory of 4096 bytes was freed"));
  failure("DETACHED", () => memory.iova);
});

for (const call of ["VFIO_IOMMU_UNMAP_DMA", "munmap"]) {
  Deno.test(`DmaMemory.free() throws KERNEL when ${call} fails, and works when it is repeated`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    const memory = space.allocate(4096);
    vfio.errors.set(call, "EIO");
    failure("KERNEL", () => memory.free());
    assertEquals(vfio.memory.size, 1);
    memory.free();
    assertEquals([vfio.memory.size, vfio.iommu.size], [0, 0]);
    failure("DETACHED", () => memory.bytes);
  });
}

Deno.test("AddressSpace.allocate() throws KERNEL when mmap fails otherwise", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  vfio.errors.set("mmap", "EPERM");
  failure("KERNEL", () => space.allocate(4096));
});
