/**
 * IO address spaces (`drivers/iommu/iommufd/`).
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from "../../../lib/uapi/iommufd/all.ts";
import { answer } from "../answer.ts";
import { NOBODYS_MEMORY } from "../bench.ts";
import type { Iommufd } from "../nodes.ts";
import { type Setup, withIommufd } from "../setup.ts";

const PAGE = 4096n;
const LAST_PAGE = 0xffff_ffff_ffff_f000n;
const MAX = 0xffff_ffff_ffff_ffffn;
const EVERYTHING = [{ start: 0n, last: MAX }];

/** Functions that map and unmap in an IOAS, by default 4 pages. */
function mappable(setup: Setup, iommufd: Iommufd, ioas: number) {
  const { address: user_va } = setup.memory(64 * 4096);
  const iova = 0x10_0000n;
  const length = 4n * PAGE;
  const valid = { ioas_id: ioas, user_va, iova, length };
  const map = (values: Partial<Parameters<Iommufd["map"]>[0]> = {}) =>
    answer(() => iommufd.map({ ...valid, ...values }));
  const unmap = (values: Partial<Parameters<Iommufd["unmap"]>[0]> = {}) =>
    answer(() => iommufd.unmap({ ioas_id: ioas, iova, length, ...values }));
  return { user_va, iova, length, map, unmap };
}

/** An IOAS without a device. */
function unattached(setup: Setup) {
  const iommufd = setup.iommufd();
  const ioas = iommufd.allocate();
  return { iommufd, ioas, ...mappable(setup, iommufd, ioas) };
}

/** An IOAS with edu0 attached. */
async function attached(setup: Setup) {
  const ready = await setup.readyIoas("edu0");
  return { ...ready, ...mappable(setup, ready.iommufd, ready.ioas) };
}

withIommufd(
  "IOMMU_IOAS_ALLOC numbers its objects from 1, and takes no flag",
  (setup) => {
    const iommufd = setup.iommufd();
    assertEquals([iommufd.allocate(), iommufd.allocate()], [1, 2]);
    const allocate = (values: Parameters<Iommufd["allocate"]>[0]) =>
      answer(() => iommufd.allocate(values));
    assertEquals(allocate({ flags: 1 }), "EOPNOTSUPP");
    assertEquals(allocate({ size: 11 }), "EINVAL");
    iommufd.destroy(1);
    assertEquals([iommufd.allocate(), iommufd.allocate()], [1, 3]);
    assertEquals(setup.iommufd().allocate(), 1);
  },
);

withIommufd(
  "IOMMU_DESTROY removes an object when it is unused",
  async (setup) => {
    const cdev = await setup.cdev("edu0");
    const iommufd = setup.iommufd();
    const ioas = iommufd.allocate();
    const destroy = (id: number) => answer(() => iommufd.destroy(id));
    assertEquals(destroy(0), "ENOENT");
    assertEquals(destroy(99), "ENOENT");
    assertEquals(answer(() => iommufd.destroy(ioas, { size: 7 })), "EINVAL");
    const device = cdev.bind(iommufd);
    assertEquals(destroy(device), "EBUSY");
    const pageTable = cdev.attach(ioas);
    assertEquals([ioas, device, pageTable], [1, 2, 3]);
    assertEquals(
      [ioas, device, pageTable].map(destroy),
      Array(3).fill("EBUSY"),
    );
    cdev.detach();
    // The page table was made for the device, and is removed with it.
    assertEquals(destroy(pageTable), "ENOENT");
    assertEquals(destroy(ioas), undefined);
    assertEquals(destroy(ioas), "ENOENT");
    assertEquals(destroy(device), "EBUSY");
  },
);

withIommufd(
  "IOMMU_DESTROY unmaps everything when it removes an IOAS",
  async (setup) => {
    const { cdev, ioas, iommufd, map } = await attached(setup);
    map();
    assertEquals(setup.bench.holdings().locked, 16);
    cdev.detach();
    iommufd.destroy(ioas);
    assertEquals(setup.bench.holdings().locked, 0);
    assertEquals(map(), "ENOENT");
  },
);

withIommufd(
  "IOMMU_IOAS_MAP fails when the range is empty, out of range, or the arguments are wrong",
  async (setup) => {
    const { map, user_va, unmap } = await attached(setup);
    const access = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
    for (
      const [values, expected] of [
        [{ flags: 1 << 3 }, "EOPNOTSUPP"],
        [{ __reserved: 1 }, "EOPNOTSUPP"],
        [{ size: 39 }, "EINVAL"],
        [{ flags: 0 }, "EINVAL"],
        [{ flags: IOMMU_IOAS_MAP_FIXED_IOVA }, "EINVAL"],
        [{ ioas_id: 0 }, "ENOENT"],
        [{ ioas_id: 99 }, "ENOENT"],
        // The device and its page table, which are not an IOAS.
        [{ ioas_id: 1 }, "ENOENT"],
        [{ ioas_id: 3 }, "ENOENT"],
        [{ length: 0n }, "EINVAL"],
        [{ length: 0n, flags: access }, "EINVAL"],
        [{ length: 1n }, "EINVAL"],
        [{ length: PAGE - 1n }, "EINVAL"],
        [{ iova: 0x10_0800n }, "EINVAL"],
        [{ user_va: user_va + 1n }, "EINVAL"],
        [{ user_va: user_va + 0x800n }, "EINVAL"],
        [{ length: MAX }, "EOVERFLOW"],
        [{ iova: MAX }, "EOVERFLOW"],
        [{ iova: LAST_PAGE, length: 2n * PAGE }, "EOVERFLOW"],
        [{ user_va: LAST_PAGE, length: PAGE }, "EOVERFLOW"],
        [{ user_va: LAST_PAGE, length: 2n * PAGE }, "EOVERFLOW"],
        // Which of two errors is returned.
        [{ length: MAX, flags: 0 }, "EOVERFLOW"],
        [{ length: MAX, flags: 1 << 3 }, "EOPNOTSUPP"],
        [{ ioas_id: 99, length: MAX }, "EOVERFLOW"],
        [{ ioas_id: 99, length: 0n }, "ENOENT"],
        [{ user_va: LAST_PAGE, length: 2n * PAGE + 1n }, "EOVERFLOW"],
        [{ iova: 1n, length: 1n }, "EINVAL"],
      ] as const
    ) assertEquals(map(values), expected, Deno.inspect(values));
    assertEquals(unmap(), "ENOENT");
    assertEquals(setup.bench.holdings().locked, 0);
  },
);

withIommufd(
  "IOMMU_IOAS_MAP takes any alignment when no device is attached",
  async (setup) => {
    const { cdev, iommufd, ioas, map, unmap, user_va } = {
      cdev: await setup.cdev("edu0"),
      ...unattached(setup),
    };
    cdev.bind(iommufd);
    assertEquals(map({ iova: 1n, length: 1n }), 1n);
    assertEquals(
      map({ iova: 2n, length: 0x1_0001n, user_va: user_va + 3n }),
      2n,
    );
    assertEquals(map({ iova: MAX - 5n, length: 5n }), MAX - 5n);
    assertEquals(map({ iova: MAX - 5n, length: 6n }), "EEXIST");
    assertEquals(unmap({ iova: 2n, length: 1n }), "ENOENT");
    assertEquals(answer(() => cdev.attach(ioas)), "EADDRINUSE");
    assertEquals(unmap({ iova: 0n, length: MAX }), 1n + 0x1_0001n + 5n);
    cdev.attach(ioas);
    assertEquals(map({ iova: 1n, length: 1n }), "EINVAL");
    cdev.detach();
    assertEquals(map({ iova: 1n, length: 1n }), 1n);
  },
);

withIommufd(
  "IOMMU_IOAS_MAP fails when the range overlaps a mapping",
  async (setup) => {
    const { iova, map } = await attached(setup);
    assertEquals(map(), iova);
    for (const [from, pages] of [[0, 4], [0, 1], [3, 1], [-1, 2], [-1, 6]]) {
      const at = iova + BigInt(from!) * PAGE;
      const length = BigInt(pages!) * PAGE;
      assertEquals(map({ iova: at, length }), "EEXIST", `${from} ${pages}`);
    }
    assertEquals(map({ iova: iova - PAGE, length: PAGE }), iova - PAGE);
    const behind = iova + 4n * PAGE;
    assertEquals(map({ iova: behind, length: PAGE }), behind);
  },
);

withIommufd(
  "IOMMU_IOAS_MAP fails when the device's IOMMU does not translate the range",
  async (setup) => {
    const { iommufd, ioas, map } = await attached(setup);
    const { ranges } = iommufd.ranges(ioas, 16);
    assert(ranges.length > 1);
    for (const { start, last } of ranges) {
      const length = PAGE;
      if (start > 0n) assertEquals(map({ iova: start - PAGE }), "EINVAL");
      const behind = last + 1n;
      if (last < MAX) {
        assertEquals(map({ iova: behind, length }), "EINVAL");
        assertEquals(map({ iova: behind - PAGE, length: 2n * PAGE }), "EINVAL");
      }
      assertEquals(map({ iova: behind - PAGE, length }), behind - PAGE);
      assertEquals(map({ iova: start, length }), start);
    }
  },
);

withIommufd(
  "IOMMU_IOAS_MAP chooses an IOVA, never 0, when none is fixed",
  async (setup) => {
    const flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
    const { map, unmap, iova } = await attached(setup);
    // The IOVA in the argument does not matter.
    const first = map({ flags, iova: 1n }) as bigint;
    const second = map({ flags }) as bigint;
    assertNotEquals(first, 0n);
    assertNotEquals(first, second);
    assertEquals([first % PAGE, second % PAGE], [0n, 0n]);
    assertEquals(map({ iova: first }), "EEXIST");
    assertEquals(unmap({ iova: second }), 4n * PAGE);
    assertEquals(map({ flags, iova }), second);
    assertEquals(map({ flags, length: MAX / 2n + 1n }), "EOVERFLOW");
  },
);

withIommufd(
  "IOMMU_IOAS_MAP checks the memory when a device is attached",
  async (setup) => {
    const missing = { user_va: NOBODYS_MEMORY };
    const { cdev, iommufd, ioas, map, unmap, iova } = {
      cdev: await setup.cdev("edu0"),
      ...unattached(setup),
    };
    cdev.bind(iommufd);
    assertEquals(map(missing), iova);
    assertEquals(answer(() => cdev.attach(ioas)), "EFAULT");
    assertEquals(setup.bench.holdings().locked, 0);
    assertEquals(unmap(), 4n * PAGE);
    assertEquals(map({ iova: iova + 8n * PAGE }), iova + 8n * PAGE);
    assertEquals(setup.bench.holdings().locked, 0);
    cdev.attach(ioas);
    assertEquals(setup.bench.holdings().locked, 16);
    assertEquals(map(missing), "EFAULT");
    assertEquals(map({ user_va: 0n }), "EFAULT");
    assertEquals(setup.bench.holdings().locked, 16);
    cdev.detach();
    assertEquals(setup.bench.holdings().locked, 0);
  },
);

withIommufd(
  "IOMMU_IOAS_MAP counts memory twice when it is mapped twice",
  async (setup) => {
    const { map, iova, unmap } = await attached(setup);
    map();
    map({ iova: iova + 16n * PAGE });
    map({ iova: iova + 32n * PAGE, length: PAGE });
    assertEquals(setup.bench.holdings().locked, 36);
    unmap();
    assertEquals(setup.bench.holdings().locked, 20);
  },
);

withIommufd(
  "IOMMU_IOAS_UNMAP fails when the range is empty, out of range, unmapped, or would split a mapping",
  async (setup) => {
    const { iova, map, unmap } = await attached(setup);
    assertEquals(unmap(), "ENOENT");
    assertEquals(map(), iova);
    for (
      const [values, expected] of [
        [{ ioas_id: 99 }, "ENOENT"],
        [{ size: 23 }, "EINVAL"],
        [{ length: 0n }, "EINVAL"],
        [{ iova: 0n, length: 0n }, "EINVAL"],
        [{ length: MAX }, "EOVERFLOW"],
        [{ iova: MAX, length: 1n }, "EOVERFLOW"],
        [{ iova: LAST_PAGE, length: 2n * PAGE }, "EOVERFLOW"],
        [{ iova: 0n, length: PAGE }, "ENOENT"],
        [{ length: PAGE }, "ENOENT"],
        [{ length: 1n }, "ENOENT"],
        [{ iova: iova + PAGE, length: 3n * PAGE }, "ENOENT"],
        [{ iova: iova - PAGE, length: 2n * PAGE }, "ENOENT"],
        [{ iova: iova + 3n * PAGE, length: 8n * PAGE }, "ENOENT"],
      ] as const
    ) assertEquals(unmap(values), expected, Deno.inspect(values));
    assertEquals(map(), "EEXIST");
    // Alignment does not matter: the whole mapping is in the range.
    assertEquals(unmap({ iova: iova - 1n, length: 4n * PAGE + 7n }), 4n * PAGE);
  },
);

withIommufd(
  "IOMMU_IOAS_UNMAP unmaps the mappings before one when it would split that one",
  async (setup) => {
    const { iova, map, unmap } = await attached(setup);
    map({ length: PAGE });
    map({ iova: iova + 2n * PAGE, length: 4n * PAGE });
    assertEquals(unmap({ length: 4n * PAGE }), "ENOENT");
    assertEquals(unmap({ length: PAGE }), "ENOENT");
    assertEquals(unmap({ length: 6n * PAGE }), 4n * PAGE);
  },
);

withIommufd(
  "IOMMU_IOAS_UNMAP unmaps all mappings, also none, when the range is everything",
  async (setup) => {
    const { map, unmap } = await attached(setup);
    assertEquals(unmap({ iova: 0n, length: MAX }), 0n);
    map();
    map({ iova: 0n });
    map({ iova: 1n << 32n });
    assertEquals(unmap({ iova: 0n, length: MAX }), 12n * PAGE);
    assertEquals(setup.bench.holdings().locked, 0);
  },
);

withIommufd(
  "IOMMU_IOAS_IOVA_RANGES returns the whole range when no device is attached",
  async (setup) => {
    const { cdev, iommufd, ioas } = {
      cdev: await setup.cdev("edu0"),
      ...unattached(setup),
    };
    const free = { errno: 0, count: 1, ranges: EVERYTHING, alignment: 1n };
    assertEquals(iommufd.ranges(ioas, 16), free);
    cdev.bind(iommufd);
    assertEquals(iommufd.ranges(ioas, 16), free);
    cdev.attach(ioas);
    const { ranges, alignment } = iommufd.ranges(ioas, 16);
    assertEquals(alignment, 4096n);
    assertEquals(ranges[0], { start: 0n, last: 0xfedf_ffffn });
    assertEquals(ranges[1]!.start, 0xfef0_0000n);
    cdev.detach();
    assertEquals(iommufd.ranges(ioas, 16), free);
  },
);

withIommufd(
  "IOMMU_IOAS_IOVA_RANGES returns how much room it needs",
  async (setup) => {
    const { iommufd, ioas } = await attached(setup);
    const all = iommufd.ranges(ioas, 16);
    const none = iommufd.ranges(ioas, 0);
    assertEquals([none.errno, none.count], ["EMSGSIZE", all.count]);
    const one = iommufd.ranges(ioas, 1);
    assertEquals([one.errno, one.count], ["EMSGSIZE", all.count]);
    assertEquals(one.ranges, all.ranges.slice(0, 1));
    assertEquals(one.alignment, 4096n);
    assertEquals(iommufd.ranges(ioas, all.count), all);
    assertEquals(iommufd.ranges(99, 16).errno, "ENOENT");
    assertEquals(iommufd.ranges(ioas, 16, { size: 31 }).errno, "EINVAL");
    assertEquals(
      iommufd.ranges(ioas, 16, { __reserved: 1 }).errno,
      "EOPNOTSUPP",
    );
    assertEquals(
      iommufd.ranges(ioas, 1, { allowed_iovas: 8n }).errno,
      "EFAULT",
    );
  },
);

withIommufd(
  "an iommufd answers ENOTTY when it does not know the ioctl",
  (setup) => {
    const unknown = { name: "IOMMU_UNKNOWN", request: 0x3bff } as never;
    const bytes = new Uint8Array(8);
    assertEquals(answer(() => setup.iommufd().ioctl(unknown, bytes)), "ENOTTY");
  },
);
