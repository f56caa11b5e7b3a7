/**
 * Memory of files, and of other devices, that devices reach.
 */
import { assertEquals } from "@std/assert";
import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from "../../../lib/uapi/iommufd/all.ts";
import { refused } from "../../failures.ts";
import { Edu, EDU_DMA_MASK } from "../../vm/guest/edu.ts";
import { answer } from "../answer.ts";
import { forEachBackend, type Setup, withIommufd } from "../setup.ts";

const PAGE = 4096n;
const IOVA = 0x10_0000n;
const MAX = 0xffff_ffff_ffff_ffffn;
const dmaMask = EDU_DMA_MASK;

/** A file in memory of some pages, closed when the test ends. */
function memoryFile(setup: Setup, pages: number) {
  const { kernel } = setup;
  const fd = kernel.memfd("test", 0);
  kernel.ftruncate(fd, BigInt(pages * 4096));
  return {
    fd,
    write: (bytes: Uint8Array, at: number) =>
      kernel.pwrite(fd, bytes, BigInt(at)),
    read: (at: number, length = 4) => {
      const bytes = new Uint8Array(length);
      kernel.pread(fd, bytes, BigInt(at));
      return bytes;
    },
    [Symbol.dispose]: () => kernel.close(fd),
  };
}

forEachBackend(
  "space.mapFile() lets edu read and write parts of a file, mapped before and after it was attached",
  async (setup) => {
    using file = memoryFile(setup, 4);
    const { kernel } = setup;
    const space = setup.space();
    const early = space.mapFile(file.fd, { offset: 4096, size: 4096, dmaMask });
    const edu = new Edu(await setup.attach("edu0", space));
    const own = kernel.fcntl(file.fd, 1030);
    const late = space.mapFile(own, { offset: 8192, size: 8192, dmaMask });
    kernel.close(own);
    const bytes = Uint8Array.of(1, 2, 3, 4);
    file.write(bytes, 4096);
    await edu.copy(early.iova, late.iova + 4096n, 4);
    assertEquals(file.read(3 * 4096), bytes);
    assertEquals(file.read(0), new Uint8Array(4));
    const readOnly = space.mapFile(file.fd, {
      size: 4096,
      dmaMask,
      writable: false,
    });
    await setup.bench.assertFault(() => edu.copyFromDevice(readOnly.iova, 4));
    assertEquals(file.read(0), new Uint8Array(4));
    early.unmap();
    await setup.bench.assertFault(() => edu.copyFromDevice(early.iova, 4));
    assertEquals(file.read(4096), bytes);
  },
);

forEachBackend(
  "space.allocate() makes a file in memory, whose bytes edu writes",
  async (setup) => {
    const { kernel } = setup;
    const space = setup.space();
    const edu = new Edu(await setup.attach("edu0", space));
    const memory = space.allocate(8192, { memfd: true, dmaMask });
    memory.bytes.set([5, 6, 7, 8]);
    await edu.copy(memory.iova, memory.iova + 4096n, 4);
    assertEquals(memory.bytes.slice(4096, 4100), Uint8Array.of(5, 6, 7, 8));
    const seen = new Uint8Array(4);
    kernel.pread(memory.fd!, seen, 4096n);
    assertEquals(seen, Uint8Array.of(5, 6, 7, 8));
    const other = setup.space();
    const theirs = new Edu(await setup.attach("edu1", other));
    const copy = other.copy([...space.mappings()][0]!, { dmaMask });
    memory.bytes.set([9], 0);
    await theirs.copy(copy.iova, copy.iova + 8n, 1);
    assertEquals(memory.bytes[8], 9);
  },
);

withIommufd(
  "IOMMU_IOAS_MAP_FILE fails for what is no file, past its end, and without access",
  async (setup) => {
    using file = memoryFile(setup, 2);
    const { iommufd, ioas } = await setup.readyIoas("edu0");
    const valid = {
      ioas_id: ioas,
      fd: file.fd,
      length: PAGE,
      iova: IOVA,
    };
    const map = (values = {}) =>
      answer(() => iommufd.mapFile({ ...valid, ...values }));
    const fixed = IOMMU_IOAS_MAP_FIXED_IOVA;
    const before = setup.bench.holdings();
    for (
      const [values, expected] of [
        [{ flags: fixed }, "EINVAL"],
        [{ flags: fixed | IOMMU_IOAS_MAP_READABLE | 8 }, "EOPNOTSUPP"],
        [{ fd: 999 }, "EBADF"],
        [{ fd: iommufd.fd }, "EINVAL"],
        [{ ioas_id: 99 }, "ENOENT"],
        [{ length: 0n }, "EINVAL"],
        [{ length: 100n }, "EINVAL"],
        [{ length: MAX }, "EOVERFLOW"],
        [{ iova: MAX }, "EOVERFLOW"],
        [{ iova: IOVA + 1n }, "EINVAL"],
        [{ start: 1n }, "EINVAL"],
        [{ start: 2n * PAGE }, "EINVAL"],
        [{ start: PAGE, length: 2n * PAGE }, "EINVAL"],
      ] as const
    ) assertEquals(map(values), expected, Deno.inspect(values));
    assertEquals(setup.bench.holdings(), before);
    assertEquals(map({ start: PAGE }), IOVA);
    assertEquals(map({ start: PAGE }), "EEXIST");
    const read = IOMMU_IOAS_MAP_READABLE;
    const anywhere = map({ flags: read | IOMMU_IOAS_MAP_WRITEABLE });
    assertEquals(typeof anywhere, "bigint");
  },
);

withIommufd(
  "IOMMU_IOAS_COPY copies parts of what is mapped, whole or across, and pins nothing again",
  async (setup) => {
    const { iommufd, ioas } = await setup.readyIoas("edu0");
    const other = iommufd.allocate();
    const { address: user_va } = setup.memory(8 * 4096);
    const readOnly = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE;
    iommufd.map({ ioas_id: ioas, user_va, iova: IOVA, length: 2n * PAGE });
    iommufd.map({
      ioas_id: ioas,
      user_va: user_va + 2n * PAGE,
      iova: IOVA + 2n * PAGE,
      length: PAGE,
      flags: readOnly,
    });
    const valid = {
      dst_ioas_id: other,
      src_ioas_id: ioas,
      length: 2n * PAGE,
      src_iova: IOVA,
      dst_iova: IOVA,
    };
    const copy = (values = {}) =>
      answer(() => iommufd.copy({ ...valid, ...values }));
    const before = setup.bench.holdings();
    for (
      const [values, expected] of [
        [{ flags: 8 }, "EOPNOTSUPP"],
        [{ flags: IOMMU_IOAS_MAP_FIXED_IOVA }, "EINVAL"],
        [{ length: MAX }, "EOVERFLOW"],
        [{ src_ioas_id: 99 }, "ENOENT"],
        [{ dst_ioas_id: 99 }, "ENOENT"],
        [{ length: 0n }, "EINVAL"],
        [{ length: 4n * PAGE }, "ENOENT"],
        [{ src_iova: IOVA - PAGE }, "ENOENT"],
        [{ length: 3n * PAGE }, "EPERM"],
      ] as const
    ) assertEquals(copy(values), expected, Deno.inspect(values));
    assertEquals(copy({ flags: readOnly, length: 3n * PAGE }), IOVA);
    assertEquals(copy(), "EEXIST");
    const inside = { src_iova: IOVA + PAGE, length: PAGE };
    const again = { ...inside, dst_ioas_id: ioas, dst_iova: IOVA + 16n * PAGE };
    assertEquals(copy(again), IOVA + 16n * PAGE);
    assertEquals(setup.bench.holdings(), before);
    iommufd.destroy(other);
    iommufd.unmap({ ioas_id: ioas, iova: IOVA, length: 3n * PAGE });
  },
);

withIommufd(
  "space.mapFile() lets edu write to another edu's registers, until these are revoked",
  async (setup) => {
    const space = setup.space();
    const edu = new Edu(await setup.attach("edu0", space));
    const peer = await setup.attach("edu1", space);
    const memory = space.allocate(4096, { dmaMask });
    const words = new DataView(memory.buffer);
    using registers = await peer.bar(0).exportDmaBuf({ offset: 0, size: 4096 });
    const options = { size: 4096, dmaMask };
    const mapping = space.mapFile(registers, options);
    words.setUint32(0, 0x1234_5678, true);
    await edu.copy(memory.iova, mapping.iova + 4n, 4);
    assertEquals(peer.bar(0).read32(4), ~0x1234_5678 >>> 0);

    assertEquals(mapping.revoked, false);
    const command = peer.config.read16(4);
    peer.config.write16(4, command & ~2);
    assertEquals(mapping.revoked, true);
    await refused("INACCESSIBLE", () => space.mapFile(registers, options));
    peer.config.write16(4, command);
    // The IOMMU has lost it for good.
    await setup.bench.assertFault(() =>
      edu.copyFromDevice(mapping.iova + 4n, 4)
    );
    mapping.unmap();
    const again = space.mapFile(registers, options);
    assertEquals([mapping.revoked, again.revoked], [true, false]);
    words.setUint32(0, 1, true);
    await edu.copy(memory.iova, again.iova + 4n, 4);
    assertEquals(peer.bar(0).read32(4), ~1 >>> 0);
    await peer.detach();
    assertEquals(again.revoked, true);
  },
);
