import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { infoCapabilities, readInfo } from "../../../backends/info.ts";
import {
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  vfio_region_info,
} from "../../../lib/uapi/vfio/all.ts";

/** An info struct of 24 bytes, followed by capabilities. */
function withChain(
  capabilities: Record<number, { id: number; next: number }>,
  size = 64,
): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const [at, header] of Object.entries(capabilities)) {
    vfio_info_cap_header.encode(bytes, { version: 1, ...header }, Number(at));
  }
  return bytes;
}

/** Answers like the kernel: as much as fits, and the full size in argsz. */
function answering(sizes: readonly number[]) {
  const requests: { argsz: number; index: number; length: number }[] = [];
  const ask = (bytes: Uint8Array) => {
    const { argsz, index } = vfio_region_info.decode(bytes);
    requests.push({ argsz, index, length: bytes.length });
    const needed = sizes[Math.min(requests.length, sizes.length) - 1]!;
    vfio_region_info.encode(bytes, {
      argsz: needed,
      index,
      cap_offset: needed <= bytes.length ? 32 : 0,
    });
  };
  return { requests, ask };
}

Deno.test("readInfo() makes one ioctl when everything fits in the struct", () => {
  const { requests, ask } = answering([vfio_region_info.size]);
  const bytes = readInfo(ask, vfio_region_info, { index: 3 });
  assertEquals(requests, [{ argsz: 32, index: 3, length: 32 }]);
  assertEquals(bytes.length, 32);
  assertEquals(vfio_region_info.decode(bytes).cap_offset, 32);
});

Deno.test("readInfo() repeats the ioctl when the kernel needs more room", () => {
  const { requests, ask } = answering([80]);
  const bytes = readInfo(ask, vfio_region_info, { index: 3 });
  assertEquals(requests, [
    { argsz: 32, index: 3, length: 32 },
    { argsz: 80, index: 3, length: 80 },
  ]);
  assertEquals(bytes.length, 80);
  assertEquals(vfio_region_info.decode(bytes).cap_offset, 32);
});

Deno.test("readInfo() repeats the ioctl until everything fits when the answer grows", () => {
  const { requests, ask } = answering([48, 64, 96]);
  const bytes = readInfo(ask, vfio_region_info, { index: 3 });
  assertEquals(requests.map(({ argsz }) => argsz), [32, 48, 64, 96]);
  assertEquals(vfio_region_info.decode(bytes).cap_offset, 32);
});

Deno.test("readInfo() accepts a shorter struct when the kernel is older", () => {
  const ask = (bytes: Uint8Array) => {
    vfio_iommu_type1_info.encode(bytes, { argsz: 16, iova_pgsizes: 4096n });
  };
  const bytes = readInfo(ask, vfio_iommu_type1_info);
  assertEquals(bytes.length, vfio_iommu_type1_info.size);
  assertEquals(vfio_iommu_type1_info.decode(bytes).iova_pgsizes, 4096n);
});

Deno.test("readInfo() throws the kernel's error when it refuses", () => {
  const error = new KernelError(22, "VFIO_DEVICE_GET_REGION_INFO");
  const thrown = assertThrows(() =>
    readInfo(() => {
      throw error;
    }, vfio_region_info)
  );
  assertStrictEquals(thrown, error);
});

Deno.test("infoCapabilities() returns the capabilities in the chain's order", () => {
  const bytes = withChain({
    24: { id: 1, next: 48 },
    40: { id: 3, next: 0 },
    48: { id: 2, next: 40 },
  });
  assertEquals([...infoCapabilities(bytes, 24)], [
    { id: 1, at: 24 },
    { id: 2, at: 48 },
    { id: 3, at: 40 },
  ]);
});

Deno.test("infoCapabilities() returns nothing when there is no chain", () => {
  assertEquals([...infoCapabilities(new Uint8Array(24), 0)], []);
});

Deno.test("infoCapabilities() returns the capabilities that are complete when the buffer is short", () => {
  const offsets = Array.from({ length: 99 }, (_, i) => 8 * (i + 1));
  const chain = Object.fromEntries(
    offsets.map((at) => [at, { id: at, next: at === 792 ? 0 : at + 8 }]),
  );
  const found = [...infoCapabilities(withChain(chain, 800), 8)];
  assertEquals(found.map(({ at }) => at), offsets);
});

for (
  const [what, chain] of Object.entries({
    "to itself": { 24: { id: 1, next: 24 } },
    "back": { 24: { id: 1, next: 40 }, 40: { id: 2, next: 24 } },
    "out of the bytes": { 24: { id: 1, next: 64 } },
    "to an incomplete header": { 24: { id: 1, next: 57 } },
    "far away": { 24: { id: 1, next: 0xffff_ffff } },
  })
) {
  Deno.test(`infoCapabilities() throws EBADMSG when the chain leads ${what}`, () => {
    const walk = () => [...infoCapabilities(withChain(chain), 24)];
    const error = assertThrows(walk, KernelError, "capability chain");
    assertEquals(error.code, "EBADMSG");
  });
}

Deno.test("infoCapabilities() throws EBADMSG when the chain begins outside", () => {
  const bytes = new Uint8Array(24);
  for (const first of [17, 24, 0xffff_fff8]) {
    assertThrows(() => [...infoCapabilities(bytes, first)], KernelError);
  }
});
