import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import type { AllocateOptions } from "../../../lib/dma/memory.ts";
import { VfioError, type VfioErrorCode } from "../../../lib/errors.ts";
import { failure } from "../../failures.ts";
import { ADDRESS, FakeVfio } from "../fake_vfio.ts";

const MEMORY = { address: 0x7000_0000_0000n, size: 8192 };

Deno.test("AddressSpace() asks nothing of the kernel", () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  assertStrictEquals(space.host, vfio.host);
  assertEquals(space.backend, undefined);
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace() is a TypeError when there is no such backend", () => {
  const backend = "iommu" as "iommufd";
  const { host } = new FakeVfio();
  assertThrows(
    () => new AddressSpace({ backend, host }),
    TypeError,
    'Cannot take backend "iommu"',
  );
});

for (
  const size of [
    0,
    -4096,
    1,
    4095,
    4097,
    6144,
    4096.5,
    NaN,
    Infinity,
    2 ** 53,
    2 ** 60,
  ]
) {
  Deno.test(`AddressSpace.map() is a RangeError when the size is ${size}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(
      () => space.map({ address: MEMORY.address, size }),
      RangeError,
      `Cannot map ${size} bytes: expected a multiple of 4096`,
    );
    assertEquals(vfio.calls, []);
    // Nothing of it is kept.
    space.map(MEMORY, { iova: 0x10000n });
  });
}

for (
  const address of [
    1n,
    0x7000_0000_0800n,
    -1n,
    -4096n,
    (1n << 64n) - 4096n,
    1n << 64n,
    1n << 70n,
  ]
) {
  Deno.test(`AddressSpace.map() is a RangeError when the address is ${address}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(
      () => space.map({ address, size: 8192 }),
      RangeError,
      "Cannot map memory at",
    );
    assertEquals(vfio.calls, []);
  });
}

for (const iova of [1n, 0x1_0800n, -4096n, -1n]) {
  Deno.test(`AddressSpace.map() is a RangeError when the IOVA is ${iova}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(() => space.map(MEMORY, { iova }), RangeError, "Cannot map");
    assertEquals(vfio.calls, []);
  });
}

for (const dmaMask of [0n, -1n, 1n << 64n, 0xffff_0000n, 0x1_0000_0000n]) {
  Deno.test(`AddressSpace.map() is a RangeError when the DMA mask is ${dmaMask}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(() => space.map(MEMORY, { dmaMask }), RangeError, "DMA mask");
    assertEquals(vfio.calls, []);
  });
}

Deno.test("AddressSpace.map() is a TypeError when an address is a number", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  for (
    const [memory, options] of [
      [{ address: 0x7000_0000, size: 4096 }, {}],
      [MEMORY, { iova: 0x10000 }],
      [MEMORY, { dmaMask: 0xffff_ffff }],
    ] as unknown as Parameters<AddressSpace["map"]>[]
  ) {
    assertThrows(() => space.map(memory, options), TypeError);
  }
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() is IOVA_OUT_OF_RANGE when the IOMMU has no such IOVA", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  for (
    const iova of [0xfee0_0000n, 0xfedf_f000n, 1n << 48n, (1n << 64n) - 8192n]
  ) {
    const error = failure(
      "IOVA_OUT_OF_RANGE",
      () => space.map(MEMORY, { iova }),
    );
    assertEquals(
      error.hint,
      "it can translate 0x0-0xfedfffff, 0xfef00000-0xffffffffffff",
    );
  }
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() is IOVA_OVERLAP when a part is mapped", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const first = space.map(MEMORY, { iova: 0x10_0000n });
  vfio.calls.length = 0;
  for (const iova of [0xf_f000n, 0x10_0000n, 0x10_1000n]) {
    failure("IOVA_OVERLAP", () => space.map(MEMORY, { iova }));
  }
  assertEquals(vfio.calls, []);
  first.unmap();
  space.map(MEMORY, { iova: 0x10_1000n });
});

Deno.test("AddressSpace.map() is IOVA_EXHAUSTED when nothing is free within the mask", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const dmaMask = 0x1_ffffn;
  const count = 0x1_0000 / 8192;
  for (let i = 0; i < count; i++) space.map(MEMORY, { dmaMask });
  vfio.calls.length = 0;
  failure("IOVA_EXHAUSTED", () => space.map(MEMORY, { dmaMask }));
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() checks the same while no device is attached", () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  assertThrows(() => space.map({ ...MEMORY, size: 0 }), RangeError);
  assertThrows(() => space.map({ ...MEMORY, address: -4096n }), RangeError);
  assertThrows(() => space.map(MEMORY, { iova: 1n }), RangeError);
  failure("IOVA_OUT_OF_RANGE", () => space.map(MEMORY, { iova: 1n << 39n }));
  space.map(MEMORY, { iova: 0x10_0000n });
  failure("IOVA_OVERLAP", () => space.map(MEMORY, { iova: 0x10_1000n }));
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() gives what the devices see, and the IOMMU has it", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const mapping = space.map(MEMORY, { iova: 0x10_0000n });
  const { iova, address, size, writable } = mapping;
  assertEquals({ iova, address, size, writable }, {
    iova: 0x10_0000n,
    address: MEMORY.address,
    size: 8192n,
    writable: true,
  });
  assert(!space.map(MEMORY, { writable: false }).writable);
  assertEquals(vfio.iommu.get(0x10_0000n), 8192n);
  assertEquals(vfio.iommu.size, 2);
});

for (
  const [errno, code] of Object.entries<VfioErrorCode>({
    ENOSPC: "MAPPING_LIMIT",
    EFAULT: "NO_MEMORY",
    EINVAL: "IOVA_OUT_OF_RANGE",
    EIO: "KERNEL",
  })
) {
  Deno.test(`AddressSpace.map() is ${code} when the kernel answers ${errno}, and keeps nothing`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    vfio.errors.set("VFIO_IOMMU_MAP_DMA", errno);
    const error = failure(code, () => space.map(MEMORY, { iova: 0x10_0000n }));
    assert(error.message.startsWith("vfio: cannot map 8192 bytes"));
    assertEquals(vfio.iommu.size, 0);
    space.map(MEMORY, { iova: 0x10_0000n });
    assertEquals(vfio.iommu.size, 1);
  });
}

Deno.test("AddressSpace.unmap() takes a mapping or its IOVA, and a mapping again", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const [first, second] = [space.map(MEMORY), space.map(MEMORY)];
  space.unmap(first);
  space.unmap(first);
  first.unmap();
  first[Symbol.dispose]();
  space.unmap(second.iova);
  assertEquals(vfio.iommu.size, 0);
  assertEquals(
    vfio.calls.filter((name) => name === "VFIO_IOMMU_UNMAP_DMA").length,
    2,
  );
});

Deno.test("AddressSpace.unmap() leaves a mapping that took the place of a gone one", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const gone = space.map(MEMORY, { iova: 0x10_0000n });
  gone.unmap();
  space.map(MEMORY, { iova: 0x10_0000n });
  gone.unmap();
  space.unmap(gone);
  assertEquals(vfio.iommu.size, 1);
});

Deno.test("AddressSpace.unmap() is IOVA_OUT_OF_RANGE when nothing begins at the IOVA", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  space.map(MEMORY, { iova: 0x10_0000n });
  vfio.calls.length = 0;
  for (const iova of [0n, 0x10_1000n, 0x10_0001n, -1n, 1n << 64n]) {
    const error = failure("IOVA_OUT_OF_RANGE", () => space.unmap(iova));
    assertEquals(
      error.message.split("\n")[0],
      `vfio: nothing is mapped at IOVA 0x${iova.toString(16)}`,
    );
  }
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.unmap() is KERNEL when refused, and it stays mapped", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const mapping = space.map(MEMORY, { iova: 0x10_0000n });
  vfio.errors.set("VFIO_IOMMU_UNMAP_DMA", "EIO");
  failure("KERNEL", () => mapping.unmap());
  failure("IOVA_OVERLAP", () => space.map(MEMORY, { iova: 0x10_0000n }));
  mapping.unmap();
  assertEquals(vfio.iommu.size, 0);
});

Deno.test("AddressSpace.unmapAll() takes every mapping away and leaves the memory", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  for (let i = 0; i < 5; i++) space.map(MEMORY);
  using memory = space.allocate(4096);
  space.unmapAll();
  assertEquals(vfio.iommu.size, 0);
  assertEquals(memory.bytes.length, 4096);
  space.unmapAll();
});

for (const bytes of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) {
  Deno.test(`AddressSpace.allocate() is a RangeError when it is ${bytes} bytes`, async () => {
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

Deno.test("AddressSpace.allocate() is a TypeError when there are no such huge pages", async () => {
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

Deno.test("AddressSpace.allocate() keeps no memory when the kernel does not map it", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  vfio.errors.set("VFIO_IOMMU_MAP_DMA", "ENOMEM");
  failure("NO_MEMORY", () => space.allocate(4096));
  assertEquals(vfio.memory.size, 0);
});

Deno.test("AddressSpace.allocate() is MEMLOCK_LIMIT when the limit is in the way", async () => {
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

Deno.test("AddressSpace.limits() is KERNEL when they cannot be read", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  vfio.errors.set("VFIO_IOMMU_GET_INFO", "EIO");
  failure("KERNEL", () => space.limits());
  vfio.errors.set("readFile", "EIO");
  failure("KERNEL", () => space.limits());
});

Deno.test("AddressSpace.allocate() is NO_MEMORY when there is none", async () => {
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

Deno.test("AddressSpace.allocate() rounds up to whole pages of the size asked for", async () => {
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

Deno.test("DmaMemory.free() unmaps it everywhere, once, and empties its views", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const memory = space.allocate(4096);
  const view = new Uint32Array(memory.buffer);
  view[0] = 1;
  assertEquals(memory.bytes[0], 1);
  const { iova } = memory;
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
  assert(error.message.includes(`IOVA 0x${iova.toString(16)} was freed`));
});

for (const call of ["VFIO_IOMMU_UNMAP_DMA", "munmap"]) {
  Deno.test(`DmaMemory.free() is KERNEL when ${call} fails, and works when tried again`, async () => {
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

Deno.test("AddressSpace.allocate() is KERNEL when mmap fails for a reason of its own", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  vfio.errors.set("mmap", "EPERM");
  failure("KERNEL", () => space.allocate(4096));
});

Deno.test("AddressSpace keeps its mappings when the last device is detached, and maps them again", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  const mapping = space.map(MEMORY, { iova: 0x10_0000n });
  await device.detach();
  assertEquals(vfio.iommu.size, 0);
  assertEquals(space.backend, undefined);
  const other = space.map(MEMORY, { iova: 0x20_0000n });
  assertEquals(vfio.iommu.size, 0);
  await VfioDevice.attach(ADDRESS, space);
  assertEquals([...vfio.iommu.keys()], [0x10_0000n, 0x20_0000n]);
  mapping.unmap();
  other.unmap();
  assertEquals(vfio.iommu.size, 0);
});

Deno.test("AddressSpace.limits() is what the IOMMU says, and how much may be locked", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  assertEquals(space.limits(), {
    ranges: vfio.ranges,
    alignment: 4096n,
    mappingsAvailable: undefined,
    memoryLock: { limit: undefined, locked: 0n },
  });
  vfio.ranges = [{ start: 0n, last: 0xfffffn }];
  vfio.pageSizes = 0x4001_0000n;
  const { ranges, alignment } = space.limits();
  assertEquals(ranges, vfio.ranges);
  assertEquals(alignment, 0x1_0000n);
  failure("IOVA_OUT_OF_RANGE", () => {
    space.map({ ...MEMORY, size: 65536 }, { iova: 0x10_0000n });
  });
  await device.detach();
  vfio.calls.length = 0;
  space.limits();
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.close() detaches, unmaps and frees, and again is harmless", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  const memory = space.allocate(4096);
  space.map(MEMORY);
  await space.close();
  assert(!device.attached);
  assertEquals([vfio.iommu.size, vfio.memory.size], [0, 0]);
  failure("DETACHED", () => memory.bytes);
  vfio.calls.length = 0;
  await space.close();
  await space[Symbol.asyncDispose]();
  await device.detach();
  memory.free();
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.close() frees its memory when a detach is incomplete", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  const memory = space.allocate(4096);
  device.region(0).map();
  let refusals = 2;
  vfio.errors.get = (name) =>
    name === "munmap" && refusals-- > 0 ? "ENOMEM" : undefined;
  const error = await assertRejects(() => space.close(), VfioError);
  assertEquals(error.code, "DETACH_INCOMPLETE");
  failure("DETACHED", () => memory.bytes);
  assertEquals(vfio.iommu.size, 0);
});

Deno.test("AddressSpace is DETACHED when it is used after close()", async () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  await space.close();
  failure("DETACHED", () => space.map(MEMORY));
  failure("DETACHED", () => space.allocate(4096));
  const error = await assertRejects(
    () => VfioDevice.attach(ADDRESS, space),
    VfioError,
    "the address space was closed",
  );
  assertEquals(error.code, "DETACHED");
  assertEquals(vfio.calls, []);
});
