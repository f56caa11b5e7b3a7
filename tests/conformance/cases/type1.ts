/**
 * Mapping and unmapping in a container (`drivers/vfio/vfio_iommu_type1.c`).
 */
import { assert, assertEquals } from "@std/assert";
import { infoCapabilities } from "../../../backends/info.ts";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
  VFIO_TYPE1_IOMMU,
} from "../../../lib/uapi/vfio/all.ts";
import { answer } from "../answer.ts";
import { NOBODYS_MEMORY } from "../bench.ts";
import type { Container } from "../nodes.ts";
import { type Setup, withContainer } from "../setup.ts";

const PAGE = 4096n;
const LAST_PAGE = 0xffff_ffff_ffff_f000n;
const MAX = 0xffff_ffff_ffff_ffffn;

/** A container, and functions that map and unmap, by default 4 pages. */
async function mappable(setup: Setup, type?: number) {
  const { container, group } = await setup.readyContainer("edu0", type);
  const { address: vaddr } = setup.memory(64 * 4096);
  const valid = { vaddr, iova: 0x10_0000n, size: 4n * PAGE };
  const map = (values: Partial<Parameters<Container["map"]>[0]> = {}) =>
    answer(() => container.map({ ...valid, ...values }));
  const unmap = (values: Partial<Parameters<Container["unmap"]>[0]> = {}) =>
    answer(() => {
      const { iova, size } = valid;
      return container.unmap({ iova, size, ...values });
    });
  return { container, group, valid, map, unmap };
}

withContainer(
  "VFIO_IOMMU_MAP_DMA fails when the range is not whole pages, wraps around, or has no access flag",
  async (setup) => {
    const { valid, map, unmap } = await mappable(setup);
    const { wraps } = setup.expected;
    for (
      const [values, expected] of [
        [{ size: 0n }, "EINVAL"],
        [{ size: 1n }, "EINVAL"],
        [{ size: 4095n }, "EINVAL"],
        [{ iova: valid.iova + 1n }, "EINVAL"],
        [{ iova: valid.iova + 0x800n }, "EINVAL"],
        [{ vaddr: valid.vaddr + 1n }, "EINVAL"],
        [{ flags: 0 }, "EINVAL"],
        [{ flags: 1 << 3 }, "EINVAL"],
        [{ flags: 0x8000_0001 }, "EINVAL"],
        [{ argsz: 31 }, "EINVAL"],
        [{ argsz: 0 }, "EINVAL"],
        [{ iova: LAST_PAGE, size: 2n * PAGE }, wraps],
        [{ iova: LAST_PAGE + 1n, size: PAGE }, wraps],
        [{ vaddr: LAST_PAGE, size: 2n * PAGE }, wraps],
        [{ size: MAX }, wraps],
        // Checked before the sum of size and IOVA.
        [{ iova: LAST_PAGE, size: 0n }, "EINVAL"],
        [{ iova: LAST_PAGE, size: 2n * PAGE, argsz: 31 }, "EINVAL"],
      ] as const
    ) assertEquals(map(values), expected, Deno.inspect(values));
    assertEquals(unmap(), 0n);
    assertEquals(setup.bench.holdings().locked, 0);
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA fails when the IOMMU does not translate the range",
  async (setup) => {
    const { map } = await mappable(setup);
    const ranges = iovaRanges(await container(setup));
    assert(ranges.length > 1);
    for (const { start, end } of ranges) {
      if (start > 0n) assertEquals(map({ iova: start - PAGE }), "EINVAL");
      if (start > 0n) {
        assertEquals(map({ iova: start - PAGE, size: PAGE }), "EINVAL");
      }
      const behind = end + 1n;
      if (behind <= LAST_PAGE) {
        assertEquals(map({ iova: behind, size: PAGE }), "EINVAL");
        assertEquals(map({ iova: behind - PAGE, size: 2n * PAGE }), "EINVAL");
      }
      assertEquals(map({ iova: behind - PAGE, size: PAGE }), undefined);
      assertEquals(map({ iova: start, size: PAGE }), undefined);
    }
    const isMapped = setup.iommu.last === MAX;
    assertEquals(
      map({ iova: LAST_PAGE, size: PAGE }),
      isMapped ? "EEXIST" : "EINVAL",
    );
  },
);

/** Another container with its IOMMU set. */
async function container(setup: Setup): Promise<Container> {
  return (await setup.readyContainer("edu1")).container;
}

withContainer(
  "VFIO_IOMMU_MAP_DMA fails when the range overlaps a mapping",
  async (setup) => {
    const { valid: { iova }, map } = await mappable(setup);
    assertEquals(map(), undefined);
    for (
      const [from, pages] of [[0, 4], [0, 1], [3, 1], [1, 2], [-1, 2], [3, 2], [
        -1,
        6,
      ]] as const
    ) {
      const values = { iova: iova + BigInt(from) * PAGE };
      const size = BigInt(pages) * PAGE;
      assertEquals(map({ ...values, size }), "EEXIST", `${from} ${pages}`);
    }
    assertEquals(map({ iova: iova - PAGE, size: PAGE }), undefined);
    assertEquals(map({ iova: iova + 4n * PAGE, size: PAGE }), undefined);
    // An overlap is found before a limit, and alignment before both.
    assertEquals(map({ iova: iova + 1n }), "EINVAL");
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA counts memory each time when it is mapped more than once",
  async (setup) => {
    const { valid: { iova, vaddr }, map } = await mappable(setup);
    const before = setup.bench.holdings().locked;
    assertEquals(map(), undefined);
    assertEquals(map({ iova: iova + 16n * PAGE }), undefined);
    const vaddrInside = vaddr + PAGE;
    assertEquals(
      map({ iova: iova + 32n * PAGE, vaddr: vaddrInside, size: PAGE }),
      undefined,
    );
    assertEquals(setup.bench.holdings().locked, before + 36);
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA fails when the memory does not exist",
  async (setup) => {
    const { map, unmap } = await mappable(setup);
    const before = setup.bench.holdings().locked;
    // No process has the first page.
    assertEquals(map({ vaddr: 0n }), "EFAULT");
    assertEquals(map({ vaddr: NOBODYS_MEMORY }), "EFAULT");
    assertEquals(setup.bench.holdings().locked, before);
    assertEquals(unmap(), 0n);
    assertEquals(map(), undefined);
  },
);

withContainer(
  "VFIO_IOMMU_UNMAP_DMA fails when the range is not whole pages, wraps around, or would split a mapping",
  async (setup) => {
    const { valid: { iova }, map, unmap } = await mappable(setup);
    map();
    const { wraps } = setup.expected;
    for (
      const [values, expected] of [
        [{ size: 0n }, "EINVAL"],
        [{ size: 4095n }, "EINVAL"],
        [{ iova: iova + 1n }, "EINVAL"],
        [{ iova: LAST_PAGE, size: 2n * PAGE }, wraps],
        [{ argsz: 23 }, "EINVAL"],
        [{ flags: 1 << 3 }, "EINVAL"],
        [{ size: PAGE }, "EINVAL"],
        [{ iova: iova + PAGE, size: 3n * PAGE }, "EINVAL"],
        [{ iova: iova + PAGE, size: 2n * PAGE }, "EINVAL"],
        [{ iova: iova - PAGE, size: 2n * PAGE }, "EINVAL"],
        [{ iova: iova + 3n * PAGE, size: 2n * PAGE }, "EINVAL"],
        [{ flags: VFIO_DMA_UNMAP_FLAG_ALL }, "EINVAL"],
        [{ flags: VFIO_DMA_UNMAP_FLAG_ALL, iova: 0n }, "EINVAL"],
        [{ flags: VFIO_DMA_UNMAP_FLAG_ALL, size: 0n }, "EINVAL"],
        [{ flags: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP }, "EINVAL"],
      ] as const
    ) assertEquals(unmap(values), expected, Deno.inspect(values));
    assertEquals(map(), "EEXIST");
    assertEquals(unmap(), 4n * PAGE);
  },
);

withContainer(
  "VFIO_IOMMU_UNMAP_DMA unmaps all mappings in the range, also when there are none",
  async (setup) => {
    const { valid: { iova }, map, unmap } = await mappable(setup);
    assertEquals(unmap(), 0n);
    for (const page of [0n, 1n, 3n, 9n]) {
      map({ iova: iova + page * PAGE, size: PAGE });
    }
    assertEquals(unmap({ iova: iova + 2n * PAGE, size: PAGE }), 0n);
    assertEquals(unmap({ size: 8n * PAGE }), 3n * PAGE);
    assertEquals(unmap({ size: 16n * PAGE }), PAGE);
    assertEquals(unmap({ size: 16n * PAGE }), 0n);
  },
);

withContainer(
  "VFIO_IOMMU_UNMAP_DMA unmaps everything when the flag for all is set",
  async (setup) => {
    const { valid: { iova }, map, unmap } = await mappable(setup);
    const all = { flags: VFIO_DMA_UNMAP_FLAG_ALL, iova: 0n, size: 0n };
    assertEquals(unmap(all), 0n);
    map();
    map({ iova: 0n });
    map({ iova: iova + (1n << 32n) });
    assertEquals(unmap(all), 12n * PAGE);
    assertEquals(setup.bench.holdings().locked, 0);
  },
);

withContainer(
  "VFIO_IOMMU_UNMAP_DMA of version 1 unmaps a whole mapping when its start is in the range",
  async (setup) => {
    const { valid: { iova }, map, unmap } = await mappable(
      setup,
      VFIO_TYPE1_IOMMU,
    );
    map();
    assertEquals(unmap({ iova: iova + PAGE, size: PAGE }), 0n);
    assertEquals(unmap({ iova: iova + PAGE, size: 8n * PAGE }), 0n);
    assertEquals(unmap({ size: PAGE }), 4n * PAGE);
    map();
    assertEquals(unmap({ iova: iova - PAGE, size: 2n * PAGE }), 4n * PAGE);
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA sets a new address only when the old one was invalidated",
  async (setup) => {
    const { map } = await mappable(setup);
    const flags = VFIO_DMA_MAP_FLAG_VADDR;
    assertEquals(map({ flags }), "ENOENT");
    assertEquals(map({ flags: flags | VFIO_DMA_MAP_FLAG_READ }), "EINVAL");
    map();
    assertEquals(map({ flags }), "EINVAL");
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA maps memory when devices may only read or only write it",
  async (setup) => {
    const { valid: { iova }, map } = await mappable(setup);
    assertEquals(map({ flags: VFIO_DMA_MAP_FLAG_READ }), undefined);
    const flags = VFIO_DMA_MAP_FLAG_WRITE;
    assertEquals(map({ flags, iova: iova + 8n * PAGE }), undefined);
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA counts down the available mappings",
  async (setup) => {
    using _limit = setup.limitMappings(3);
    const { container, valid: { iova }, map, unmap } = await mappable(setup);
    const next = (page: bigint) =>
      map({ iova: iova + page * PAGE, size: PAGE });
    assertEquals(available(container), 3);
    assertEquals([0n, 1n, 2n].map(next), [undefined, undefined, undefined]);
    assertEquals(available(container), 0);
    assertEquals(next(3n), "ENOSPC");
    // An overlap is checked before the limit, an IOVA out of range after it.
    assertEquals(next(2n), "EEXIST");
    assertEquals(map({ iova: 0xfee0_0000n, size: PAGE }), "ENOSPC");
    assertEquals(unmap({ size: PAGE }), PAGE);
    assertEquals(available(container), 1);
    assertEquals(next(3n), undefined);
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA leaves the available mappings unchanged when it fails",
  async (setup) => {
    const { container, map } = await mappable(setup);
    const before = available(container);
    map({ vaddr: 0n });
    map({ iova: 0xfee0_0000n });
    map({ size: 0n });
    assertEquals(available(container), before);
  },
);

withContainer(
  "VFIO_IOMMU_GET_INFO returns how much room its capabilities need",
  async (setup) => {
    const { container } = await mappable(setup);
    const ask = (argsz: number) => {
      const { size } = vfio_iommu_type1_info;
      const bytes = vfio_iommu_type1_info.alloc({ argsz }, 256);
      return answer(() => {
        container.info(bytes);
        return { ...vfio_iommu_type1_info.decode(bytes), size };
      });
    };
    assertEquals(ask(15), "EINVAL");
    const short = ask(16) as Exclude<ReturnType<typeof ask>, string>;
    assert(short.argsz > short.size);
    assertEquals(short.cap_offset, 0);
    const info = vfio_iommu_type1_info.alloc({}, short.argsz - short.size - 1);
    container.info(info);
    assertEquals(vfio_iommu_type1_info.decode(info).cap_offset, 0);
    assertEquals(vfio_iommu_type1_info.decode(info).argsz, short.argsz);
    const enough = vfio_iommu_type1_info.alloc({}, short.argsz - short.size);
    container.info(enough);
    const { cap_offset, iova_pgsizes } = vfio_iommu_type1_info.decode(enough);
    assertEquals(cap_offset, short.size);
    assertEquals(iova_pgsizes & 0xffffn, setup.iommu.smallPages);
    const ids = [...infoCapabilities(enough, cap_offset)].map(({ id }) => id);
    assertEquals(ids, [2, 3, 1]);
  },
);

/** Reads a capability of VFIO_IOMMU_GET_INFO. */
function capability(container: Container, wanted: number) {
  const bytes = vfio_iommu_type1_info.alloc({}, 1024);
  container.info(bytes);
  const { cap_offset } = vfio_iommu_type1_info.decode(bytes);
  const found = [...infoCapabilities(bytes, cap_offset)]
    .find(({ id }) => id === wanted);
  return { bytes, at: found!.at };
}

function available(container: Container): number {
  const { bytes, at } = capability(container, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
  return vfio_iommu_type1_info_dma_avail.decode(bytes, at).avail;
}

function iovaRanges(container: Container) {
  const id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
  const { bytes, at } = capability(container, id);
  const layout = vfio_iommu_type1_info_cap_iova_range;
  const { nr_iovas } = layout.decode(bytes, at);
  const first = at + layout.offset.iova_ranges;
  return vfio_iova_range.decodeArray(bytes, nr_iovas, first);
}
