/**
 * Which memory devices write: the container's log, and `space.dirty`.
 */
import { assert, assertEquals } from "@std/assert";
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  VFIO_TYPE1_IOMMU,
} from "../../../lib/uapi/vfio/all.ts";
import { refused } from "../../failures.ts";
import { Edu, EDU_DMA_MASK } from "../../vm/guest/edu.ts";
import { answer } from "../answer.ts";
import type { Container } from "../nodes.ts";
import { forEachBackend, type Setup, withContainer } from "../setup.ts";

const PAGE = 4096n;
const IOVA = 0x10_0000n;
const MAX = 0xffff_ffff_ffff_ffffn;

const START = VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
const STOP = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
const GET = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;

/** A container that has 4 pages mapped, and two of them 8 pages behind. */
async function logged(setup: Setup, type?: number) {
  const { container } = await setup.readyContainer("edu0", type);
  const { address: vaddr } = setup.memory(64 * 4096);
  container.map({ vaddr, iova: IOVA, size: 4n * PAGE });
  container.map({ vaddr, iova: IOVA + 12n * PAGE, size: 2n * PAGE });
  const bits = new Uint8Array(16);
  const bitmap = {
    pgsize: PAGE,
    size: 8n,
    data: setup.kernel.addressOf(bits),
  };
  return { container, bits, bitmap };
}

function control(container: Container, flags: number, argsz = 8) {
  return answer(() => container.dirtyPages({ flags, argsz }));
}

withContainer(
  "VFIO_IOMMU_DIRTY_PAGES starts and stops as often as it is asked, one flag a call",
  async (setup) => {
    const { container } = await logged(setup);
    for (const flags of [START | STOP, GET | START, 1 << 3, GET]) {
      assertEquals(control(container, flags), "EINVAL", String(flags));
    }
    assertEquals(control(container, START, 7), "EINVAL");
    for (const flags of [STOP, START, START, STOP, STOP]) {
      assertEquals(control(container, flags), undefined);
    }
  },
);

withContainer(
  "VFIO_IOMMU_DIRTY_PAGES fails with version 1",
  async (setup) => {
    const { container } = await logged(setup, VFIO_TYPE1_IOMMU);
    for (const flags of [START, STOP, GET, 1 << 3]) {
      assertEquals(control(container, flags), "EACCES");
    }
  },
);

withContainer(
  "VFIO_IOMMU_DIRTY_PAGES reads no bitmap that does not fit, bisects a mapping, or is of no log",
  async (setup) => {
    const { container, bitmap } = await logged(setup);
    const valid = { iova: IOVA, size: 16n * PAGE };
    const get = (range = {}, other = {}) =>
      answer(() =>
        container.dirtyPages({ flags: GET }, {
          ...valid,
          bitmap: { ...bitmap, ...other },
          ...range,
        })
      );
    assertEquals(get(), "EINVAL");
    control(container, START);
    assertEquals(get(), undefined);
    for (
      const [range, other] of [
        [{ size: 0n }, {}],
        [{ size: 100n }, {}],
        [{ iova: IOVA + 1n }, {}],
        [{ iova: IOVA + PAGE }, {}],
        [{ size: 3n * PAGE }, {}],
        [{ size: 13n * PAGE }, {}],
        [{}, { pgsize: 8192n }],
        [{}, { pgsize: 2048n }],
        [{}, { size: 0n }],
        [{}, { size: 7n }],
        [{}, { size: 0x1000_0001n }],
        [{ size: 65n * PAGE }, {}],
      ] as const
    ) {
      assertEquals(get(range, other), "EINVAL", Deno.inspect([range, other]));
    }
    const wrapping = { iova: MAX - PAGE + 1n, size: 2n * PAGE };
    assertEquals(get(wrapping), setup.expected.wraps);
    // A range without a mapping is fine.
    assertEquals(get({ iova: IOVA + 4n * PAGE, size: PAGE }), undefined);
    assertEquals(get({ iova: IOVA + 4n * PAGE, size: 10n * PAGE }), undefined);
  },
);

withContainer(
  "VFIO_IOMMU_DIRTY_PAGES tells every mapped page where an IOMMU translates, each time, in place of what was in its words",
  async (setup) => {
    const { container, bits, bitmap } = await logged(setup);
    control(container, START);
    const get = (iova: bigint, pages: bigint, data = bitmap.data) =>
      container.dirtyPages({ flags: GET }, {
        iova,
        size: pages * PAGE,
        bitmap: { ...bitmap, data, size: 16n },
      });
    bits.fill(0xff);
    get(IOVA, 64n);
    assertEquals([...bits.subarray(0, 8)], [0xf, 0x30, 0, 0, 0, 0, 0, 0]);
    assertEquals(bits[8], 0xff);
    // The kernel has shifted the second mapping's bitmap for its place in the
    // word, with what is before it, and does not take that back.
    get(IOVA, 64n);
    assertEquals([...bits.subarray(0, 8)], [0xf, 0xf0, 0, 3, 0, 0, 0, 0]);
    // A mapping that begins with a word has its own bits only.
    get(IOVA, 4n);
    assertEquals([...bits.subarray(0, 8)], [0xf, 0, 0, 0, 0, 0, 0, 0]);
    // Nothing is mapped there, so nothing is told.
    bits.fill(0);
    get(IOVA + 4n * PAGE, 8n);
    assertEquals(bits, new Uint8Array(16));
  },
);

withContainer(
  "VFIO_IOMMU_UNMAP_DMA tells the pages that were written, and unmaps them, while the log runs",
  async (setup) => {
    const { container, bits, bitmap } = await logged(setup);
    const flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
    const valid = { flags, iova: IOVA, size: 4n * PAGE };
    const unmap = (range = {}, other = {}) =>
      answer(() =>
        container.unmapDirty({ ...valid, ...range }, { ...bitmap, ...other })
      );
    assertEquals(unmap(), "EINVAL");
    control(container, START);
    for (
      const [range, other] of [
        [{ flags: flags | VFIO_DMA_UNMAP_FLAG_ALL, iova: 0n, size: 0n }, {}],
        [{ argsz: 47 }, {}],
        [{ size: 0n }, {}],
        [{ size: 3n * PAGE }, {}],
        [{ iova: IOVA + PAGE, size: 3n * PAGE }, {}],
        [{}, { pgsize: 8192n }],
        [{}, { size: 0n }],
        [{}, { size: 0x1000_0001n }],
      ] as const
    ) {
      assertEquals(unmap(range, other), "EINVAL", Deno.inspect([range, other]));
    }
    assertEquals(unmap(), 4n * PAGE);
    assertEquals(bits[0], 0xf);
    bits.fill(0);
    assertEquals(unmap(), 0n);
    assertEquals(unmap({ size: 16n * PAGE }), 2n * PAGE);
    assertEquals([bits[0], bits[1]], [0, 0x30]);
  },
);

forEachBackend(
  "space.dirty tells every page that edu writes, at each read, and says who tells",
  async (setup) => {
    const space = setup.space();
    const edu = new Edu(await setup.attach("edu0", space));
    const memory = space.allocate(64 * 4096, { dmaMask: EDU_DMA_MASK });
    const elsewhere = space.allocate(4096, { dmaMask: EDU_DMA_MASK });
    await space.dirty.start();
    assertEquals(
      space.dirty.by,
      setup.backend === "legacy" ? "container" : "nothing",
    );
    assert(space.dirty.reason!.length > 0);
    for (const clear of [false, true, true]) {
      for (const page of [0, 7, 63]) {
        await edu.copyFromDevice(memory.iova + BigInt(page * 4096), 8);
      }
      const told = await space.dirty.read(memory, { clear });
      for (const page of [0, 7, 63]) {
        assert(told.has(memory.iova + BigInt(page * 4096)));
      }
      // No IOMMU of QEMU's logs what devices write.
      assertEquals(told.dirtyPages, 64);
      assertEquals(told.exact, false);
    }
    const hole = { iova: elsewhere.iova + 4096n, size: 4096 };
    if (space.translate(hole.iova) === undefined) {
      assertEquals((await space.dirty.read(hole)).dirtyPages, 0);
    }
    await space.dirty.stop();
  },
);

forEachBackend(
  "space.dirty.unmap() tells every page that edu has written, and takes it from edu",
  async (setup) => {
    const space = setup.space();
    const edu = new Edu(await setup.attach("edu0", space));
    const memory = space.allocate(8 * 4096, { dmaMask: EDU_DMA_MASK });
    const mapping = space.map(memory, { dmaMask: EDU_DMA_MASK });
    await space.dirty.start();
    await edu.copyFromDevice(mapping.iova + 4096n, 8);
    const told = await space.dirty.unmap(mapping);
    assert(told.has(mapping.iova + 4096n));
    await setup.bench.assertFault(() => edu.copyFromDevice(mapping.iova, 8));
    await refused("IOVA_OUT_OF_RANGE", () => space.dirty.unmap(mapping));
    // What is mapped there next was not written.
    assertEquals((await space.dirty.read(mapping)).dirtyPages, 0);
  },
);

forEachBackend(
  "space.dirty goes on when devices come and go",
  async (setup) => {
    const space = setup.space();
    const first = await setup.attach("edu0", space);
    const memory = space.allocate(4 * 4096, { dmaMask: EDU_DMA_MASK });
    await space.dirty.start();
    const second = await setup.attach("edu1", space);
    await first.detach();
    assertEquals((await space.dirty.read(memory)).dirtyPages, 4);
    await second.detach();
    assertEquals((await space.dirty.read(memory)).dirtyPages, 4);
    const edu = new Edu(await setup.attach("edu0", space));
    await edu.copyFromDevice(memory.iova, 8);
    assert((await space.dirty.read(memory)).has(memory.iova));
    await space.dirty.stop();
  },
);
