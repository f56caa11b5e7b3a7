import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { VfioError } from "../../../lib/errors.ts";
import { failure } from "../../failures.ts";
import { ADDRESS, FakeVfio, MEMORY } from "../fake_vfio.ts";

Deno.test("AddressSpace() makes no kernel call", () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  assertStrictEquals(space.host, vfio.host);
  assertEquals(space.backend, undefined);
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace() throws a TypeError when there is no such backend", () => {
  const backend = "iommu" as "iommufd";
  const { host } = new FakeVfio();
  assertThrows(
    () => new AddressSpace({ backend, host }),
    TypeError,
    'Cannot take backend "iommu"',
  );
});

Deno.test("AddressSpace.limits() throws KERNEL when they cannot be read", async () => {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  vfio.errors.set("VFIO_IOMMU_GET_INFO", "EIO");
  failure("KERNEL", () => space.limits());
  vfio.errors.set("readFile", "EIO");
  failure("KERNEL", () => space.limits());
});

Deno.test("AddressSpace keeps its mappings when the last device is detached, and maps them again", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  const mapping = space.unsafeMap(MEMORY, { iova: 0x10_0000n });
  await device.detach();
  assertEquals(vfio.iommu.size, 0);
  assertEquals(space.backend, undefined);
  const other = space.unsafeMap(MEMORY, { iova: 0x20_0000n });
  assertEquals(vfio.iommu.size, 0);
  await VfioDevice.attach(ADDRESS, space);
  assertEquals([...vfio.iommu.keys()], [0x10_0000n, 0x20_0000n]);
  mapping.unmap();
  other.unmap();
  assertEquals(vfio.iommu.size, 0);
});

Deno.test("AddressSpace.limits() returns the IOMMU's limits and the limit on locked memory", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  assertEquals(space.limits(), {
    ranges: vfio.ranges,
    alignment: 4096n,
    mappingsAvailable: undefined,
    reserved: [{ start: 0xfee0_0000n, last: 0xfeef_ffffn, type: "msi" }],
    memoryLock: { limit: undefined, locked: 0n },
  });
  vfio.ranges = [{ start: 0n, last: 0xfffffn }];
  vfio.pageSizes = 0x4001_0000n;
  const { ranges, alignment } = space.limits();
  assertEquals(ranges, vfio.ranges);
  assertEquals(alignment, 0x1_0000n);
  failure("IOVA_OUT_OF_RANGE", () => {
    space.unsafeMap({ ...MEMORY, size: 65536 }, { iova: 0x10_0000n });
  });
  await device.detach();
  vfio.calls.length = 0;
  space.limits();
  assertEquals(vfio.calls, []);
});

Deno.test("AddressSpace.close() detaches, unmaps and frees, and does nothing when it is repeated", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  const memory = space.allocate(4096);
  space.unsafeMap(MEMORY);
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

Deno.test("AddressSpace throws DETACHED when it is used after close()", async () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  await space.close();
  failure("DETACHED", () => space.unsafeMap(MEMORY));
  failure("DETACHED", () => space.allocate(4096));
  const error = await assertRejects(
    () => VfioDevice.attach(ADDRESS, space),
    VfioError,
    "the address space was closed",
  );
  assertEquals(error.code, "DETACHED");
  assertEquals(vfio.calls, []);
});
