import { assert, assertEquals, assertThrows } from "@std/assert";
import { AddressSpace, type Kernel, VfioDevice } from "../../../mod.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { failure, refused } from "../../failures.ts";
import { Edu } from "../../vm/guest/edu.ts";

const EDUS = ["0000:01:00.0", "0000:02:00.0"] as const;
const PAGE = 4096;
const dmaMask = 0xfff_ffffn;

function twoEdus(release = "7.3.4") {
  const edu = { model: "edu", driver: "vfio-pci" } as const;
  return simulate({
    kernel: { release },
    functions: { [EDUS[0]]: edu, [EDUS[1]]: edu },
  });
}

/** A file in memory with a page of each of some bytes. */
function memoryFile(kernel: Kernel, ...pages: number[]): number {
  const fd = kernel.memfd("test", 0);
  kernel.ftruncate(fd, BigInt(pages.length * PAGE));
  for (const [i, byte] of pages.entries()) {
    kernel.pwrite(fd, new Uint8Array(PAGE).fill(byte), BigInt(i * PAGE));
  }
  return fd;
}

function bytesAt(kernel: Kernel, fd: number, page: number): Uint8Array {
  const bytes = new Uint8Array(8);
  kernel.pread(fd, bytes, BigInt(page * PAGE));
  return bytes;
}

for (
  const [backend, release] of [
    ["legacy", "7.3.4"],
    ["iommufd", "7.3.4"],
    ["iommufd", "6.12.0"],
  ] as const
) {
  Deno.test(`${backend} on ${release}: space.mapFile() lets devices read and write a part of a file, also when it is closed`, async () => {
    const host = twoEdus(release);
    const { kernel } = host;
    const open = () =>
      (kernel as unknown as { files: Map<number, unknown> })
        .files.size;
    const fd = memoryFile(kernel, 1, 2, 3);
    const before = open();
    await using space = new AddressSpace({ host, backend });
    const early = space.mapFile(fd, { offset: PAGE, size: PAGE, dmaMask });
    const edu = new Edu(await VfioDevice.attach(EDUS[0], space));
    const own = kernel.fcntl(fd, 1030);
    const late = space.mapFile(own, { offset: 2 * PAGE, size: PAGE, dmaMask });
    kernel.close(own);
    await edu.copy(early.iova, late.iova, 8);
    assertEquals(bytesAt(kernel, fd, 2), new Uint8Array(8).fill(2));
    assertEquals(bytesAt(kernel, fd, 0), new Uint8Array(8).fill(1));
    assertEquals(space.translate(late.iova + 5n), {
      mapping: late,
      offset: 5,
    });
    assertEquals([...space.mappings()], [early, late]);
    early.unmap();
    late.unmap();
    assertEquals(space.translate(late.iova), undefined);
    await space.close();
    assertEquals(open(), before);
  });

  Deno.test(`${backend} on ${release}: space.mapFile() leaves nothing open when it fails`, async () => {
    const host = twoEdus(release);
    const { kernel } = host;
    const open = () =>
      (kernel as unknown as { files: Map<number, unknown> })
        .files.size;
    const fd = memoryFile(kernel, 1);
    await using space = new AddressSpace({ host, backend });
    await VfioDevice.attach(EDUS[0], space);
    const before = open();
    const size = PAGE;
    await refused(
      "IOVA_OUT_OF_RANGE",
      () => space.mapFile(fd, { size, iova: 1n << 60n }),
    );
    await refused("KERNEL", () => space.mapFile(999, { size }));
    for (
      const part of [
        { size: 0 },
        { size: 1 },
        { offset: 1, size },
        { offset: -PAGE, size },
      ]
    ) assertThrows(() => space.mapFile(fd, part), RangeError);
    // It ends before.
    const code = backend === "iommufd" && release === "7.3.4"
      ? "IOVA_OUT_OF_RANGE"
      : "NO_MEMORY";
    failure(code, () => space.mapFile(fd, { offset: PAGE, size }));
    assertEquals(open(), before);
    assertEquals([...space.mappings()], []);
  });

  Deno.test(`${backend} on ${release}: space.allocate() makes a file in memory, which another space maps`, async () => {
    const host = twoEdus(release);
    const { kernel } = host;
    await using space = new AddressSpace({ host, backend });
    await using other = new AddressSpace({ host, backend });
    const edu = new Edu(await VfioDevice.attach(EDUS[0], space));
    await VfioDevice.attach(EDUS[1], other);
    const memory = space.allocate(2 * PAGE, { memfd: true, dmaMask });
    memory.bytes.fill(7, 0, 8);
    await edu.copy(memory.iova, memory.iova + 4096n, 8);
    assertEquals(memory.bytes.slice(PAGE, PAGE + 8), new Uint8Array(8).fill(7));
    const mapping = other.map(memory);
    assertEquals(mapping.file, { fd: memory.fd!, offset: 0 });
    const fd = memory.fd!;
    memory.free();
    assertThrows(() => kernel.fcntl(fd, 1));
    assertEquals([...other.mappings()], []);
  });
}

Deno.test("space.mapFile() lets a device write to another's registers, until that revokes its dma-buf", async () => {
  const host = twoEdus();
  await using space = new AddressSpace({ host, backend: "iommufd" });
  const edu = new Edu(await VfioDevice.attach(EDUS[0], space));
  const peer = await VfioDevice.attach(EDUS[1], space);
  const memory = space.allocate(PAGE, { dmaMask });
  new DataView(memory.buffer).setUint32(0, 0x1234_5678, true);
  using registers = await peer.bar(0).exportDmaBuf({ offset: 0, size: PAGE });
  const options = { size: PAGE, dmaMask };
  const mapping = space.mapFile(registers, options);
  await edu.copy(memory.iova, mapping.iova + 4n, 4);
  assertEquals(peer.bar(0).read32(4), ~0x1234_5678 >>> 0);

  const command = peer.config.read16(4);
  peer.config.write16(4, command & ~2);
  await refused("INACCESSIBLE", () => space.mapFile(registers, options));
  peer.config.write16(4, command);
  // The IOMMU has lost it for good.
  new DataView(memory.buffer).setUint32(0, 1, true);
  await edu.copy(memory.iova, mapping.iova + 4n, 4);
  assertEquals(peer.bar(0).read32(4), ~0x1234_5678 >>> 0);
  mapping.unmap();
  const again = space.mapFile(registers, { ...options, iova: mapping.iova });
  await edu.copy(memory.iova, again.iova + 4n, 4);
  assertEquals(peer.bar(0).read32(4), ~1 >>> 0);
});

Deno.test("legacy: space.mapFile() refuses a dma-buf, when it is mapped and when a device comes", async () => {
  const host = twoEdus();
  await using space = new AddressSpace({ host, backend: "legacy" });
  const peer = await VfioDevice.attach(EDUS[1], space);
  using registers = await peer.bar(0).exportDmaBuf({ offset: 0, size: PAGE });
  const error = failure(
    "NOT_SUPPORTED",
    () => space.mapFile(registers, { size: PAGE }),
  );
  assert(error.message.includes("dma-buf"));
});

Deno.test("space.allocate() aligns memory, and takes it from a NUMA node and of huge pages where these are", async () => {
  const host = twoEdus();
  await using space = new AddressSpace({ host, backend: "legacy" });
  await VfioDevice.attach(EDUS[0], space);
  const aligned = space.allocate(PAGE, { alignment: 2 ** 20, numaNode: 0 });
  assertEquals(aligned.iova % 2n ** 20n, 0n);
  assertEquals(aligned.address % 2n ** 20n, 0n);
  const huge = space.allocate(PAGE, { transparentHugePages: true });
  assertEquals(huge.address % 2n ** 21n, 0n);
  await refused("NOT_SUPPORTED", () => space.allocate(PAGE, { numaNode: 7 }));
  for (const alignment of [0, 100, 3 * PAGE, 2048]) {
    assertThrows(() => space.allocate(PAGE, { alignment }), RangeError);
  }
  for (const numaNode of [-1, 0.5, 1024]) {
    assertThrows(() => space.allocate(PAGE, { numaNode }), RangeError);
  }
});

Deno.test("DmaMapping.revoked says that a reset or a detach has taken a BAR back", async () => {
  const [from, to] = ["0000:01:00.0", "0000:02:00.0"] as const;
  const edu = { model: "edu", driver: "vfio-pci", reset: ["flr"] } as const;
  const host = simulate({
    kernel: { release: "7.3.4" },
    functions: { [from]: edu, [to]: edu },
  });
  await using space = new AddressSpace({ host, backend: "iommufd" });
  await VfioDevice.attach(from, space);
  const device = await VfioDevice.attach(to, space);
  using dmaBuf = await device.bar(0).exportDmaBuf({ offset: 0, size: 4096 });
  const map = () => space.mapFile(dmaBuf, { size: 4096 });
  const revokes = [() => device.reset(), () => device.detach()];
  for (const revoke of revokes) {
    const mapping = map();
    const copy = space.copy(mapping);
    assertEquals([mapping.revoked, copy.revoked], [false, false]);
    await revoke();
    assertEquals([mapping.revoked, copy.revoked], [true, true]);
    mapping.unmap();
    copy.unmap();
  }
});
