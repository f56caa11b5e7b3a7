import { assert, assertEquals, assertThrows } from "@std/assert";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import type { VfioErrorCode } from "../../../lib/errors.ts";
import { failure } from "../../failures.ts";
import { FakeVfio, MEMORY } from "../fake_vfio.ts";

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
  Deno.test(`AddressSpace.map() throws a RangeError when the size is ${size}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(
      () => space.unsafeMap({ address: MEMORY.address, size }),
      RangeError,
      `Cannot map ${size} bytes: expected a multiple of 4096`,
    );
    assertEquals(vfio.calls, []);
    // Nothing of it is kept.
    space.unsafeMap(MEMORY, { iova: 0x10000n });
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
  Deno.test(`AddressSpace.map() throws a RangeError when the address is ${address}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(
      () => space.unsafeMap({ address, size: 8192 }),
      RangeError,
      "Cannot map memory at",
    );
    assertEquals(vfio.calls, []);
  });
}

for (const iova of [1n, 0x1_0800n, -4096n, -1n]) {
  Deno.test(`AddressSpace.map() throws a RangeError when the IOVA is ${iova}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(
      () => space.unsafeMap(MEMORY, { iova }),
      RangeError,
      "Cannot map",
    );
    assertEquals(vfio.calls, []);
  });
}

for (const dmaMask of [0n, -1n, 1n << 64n, 0xffff_0000n, 0x1_0000_0000n]) {
  Deno.test(`AddressSpace.map() throws a RangeError when the DMA mask is ${dmaMask}`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    assertThrows(
      () => space.unsafeMap(MEMORY, { dmaMask }),
      RangeError,
      "DMA mask",
    );
    assertEquals(vfio.calls, []);
  });
}

Deno.test("AddressSpace.map() throws a TypeError when an address is a number", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  for (
    const [memory, options] of [
      [{ address: 0x7000_0000, size: 4096 }, {}],
      [MEMORY, { iova: 0x10000 }],
      [MEMORY, { dmaMask: 0xffff_ffff }],
    ] as unknown as Parameters<AddressSpace["map"]>[]
  ) {
    assertThrows(() => space.unsafeMap(memory, options), TypeError);
  }
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() throws IOVA_OUT_OF_RANGE when the IOMMU has no such IOVA", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  for (
    const iova of [0xfee0_0000n, 0xfedf_f000n, 1n << 48n, (1n << 64n) - 8192n]
  ) {
    const error = failure(
      "IOVA_OUT_OF_RANGE",
      () => space.unsafeMap(MEMORY, { iova }),
    );
    assertEquals(
      error.hint,
      "it can translate 0x0-0xfedfffff, 0xfef00000-0xffffffffffff",
    );
  }
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() throws IOVA_OVERLAP when a part is mapped", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const first = space.unsafeMap(MEMORY, { iova: 0x10_0000n });
  vfio.calls.length = 0;
  for (const iova of [0xf_f000n, 0x10_0000n, 0x10_1000n]) {
    failure("IOVA_OVERLAP", () => space.unsafeMap(MEMORY, { iova }));
  }
  assertEquals(vfio.calls, []);
  first.unmap();
  space.unsafeMap(MEMORY, { iova: 0x10_1000n });
});

Deno.test("AddressSpace.map() throws IOVA_EXHAUSTED when nothing is free within the mask", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const dmaMask = 0x1_ffffn;
  const count = 0x1_0000 / 8192;
  for (let i = 0; i < count; i++) space.unsafeMap(MEMORY, { dmaMask });
  vfio.calls.length = 0;
  failure("IOVA_EXHAUSTED", () => space.unsafeMap(MEMORY, { dmaMask }));
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() makes the same checks when no device is attached", () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  assertThrows(() => space.unsafeMap({ ...MEMORY, size: 0 }), RangeError);
  assertThrows(
    () => space.unsafeMap({ ...MEMORY, address: -4096n }),
    RangeError,
  );
  assertThrows(() => space.unsafeMap(MEMORY, { iova: 1n }), RangeError);
  failure(
    "IOVA_OUT_OF_RANGE",
    () => space.unsafeMap(MEMORY, { iova: 1n << 39n }),
  );
  space.unsafeMap(MEMORY, { iova: 0x10_0000n });
  failure("IOVA_OVERLAP", () => space.unsafeMap(MEMORY, { iova: 0x10_1000n }));
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.map() returns the mapping that the IOMMU has", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const mapping = space.unsafeMap(MEMORY, { iova: 0x10_0000n });
  const { iova, address, size, writable } = mapping;
  assertEquals({ iova, address, size, writable }, {
    iova: 0x10_0000n,
    address: MEMORY.address,
    size: 8192n,
    writable: true,
  });
  assert(!space.unsafeMap(MEMORY, { writable: false }).writable);
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
  Deno.test(`AddressSpace.map() throws ${code} when the kernel answers ${errno}, and keeps nothing`, async () => {
    const vfio = new FakeVfio();
    const { space } = await vfio.attach();
    vfio.errors.set("VFIO_IOMMU_MAP_DMA", errno);
    const error = failure(
      code,
      () => space.unsafeMap(MEMORY, { iova: 0x10_0000n }),
    );
    assert(error.message.startsWith("vfio: cannot map 8192 bytes"));
    assertEquals(vfio.iommu.size, 0);
    space.unsafeMap(MEMORY, { iova: 0x10_0000n });
    assertEquals(vfio.iommu.size, 1);
  });
}

Deno.test("AddressSpace.unmap() accepts a mapping or its IOVA, and an unmapped mapping", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const [first, second] = [space.unsafeMap(MEMORY), space.unsafeMap(MEMORY)];
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

Deno.test("AddressSpace.unmap() keeps a new mapping when it has the place of an unmapped one", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const gone = space.unsafeMap(MEMORY, { iova: 0x10_0000n });
  gone.unmap();
  space.unsafeMap(MEMORY, { iova: 0x10_0000n });
  gone.unmap();
  space.unmap(gone);
  assertEquals(vfio.iommu.size, 1);
});

Deno.test("AddressSpace.unmap() throws IOVA_OUT_OF_RANGE when nothing begins at the IOVA", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  space.unsafeMap(MEMORY, { iova: 0x10_0000n });
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

Deno.test("AddressSpace.unmap() throws KERNEL, and keeps the mapping, when the kernel refuses", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  const mapping = space.unsafeMap(MEMORY, { iova: 0x10_0000n });
  vfio.errors.set("VFIO_IOMMU_UNMAP_DMA", "EIO");
  failure("KERNEL", () => mapping.unmap());
  failure("IOVA_OVERLAP", () => space.unsafeMap(MEMORY, { iova: 0x10_0000n }));
  mapping.unmap();
  assertEquals(vfio.iommu.size, 0);
});

Deno.test("AddressSpace.unmapAll() removes every mapping and keeps the memory", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  for (let i = 0; i < 5; i++) space.unsafeMap(MEMORY);
  using memory = space.allocate(4096);
  space.unmapAll();
  assertEquals(vfio.iommu.size, 0);
  assertEquals(memory.bytes.length, 4096);
  space.unmapAll();
});
