import { assert, assertEquals, assertLess } from "@std/assert";
import {
  IovaAllocator,
  type PageRun,
} from "../../../lib/dma/iova_allocator.ts";
import { randomNumbers } from "../random.ts";

/** The lowest page that is allocated. */
const LOWEST = 16;

/** The same by brute force: an entry for each page, tried in order. */
class NaiveAllocator {
  readonly #taken: boolean[];
  ranges: readonly PageRun[];

  constructor(ranges: readonly PageRun[], pages: number) {
    this.ranges = ranges;
    this.#taken = new Array(pages).fill(false);
  }

  set(first: number, pages: number, taken: boolean): void {
    this.#taken.fill(taken, first, first + pages);
  }

  free(first: number, end: number): boolean {
    return !this.#taken.slice(first, end).includes(true);
  }

  contains(first: number, end: number): boolean {
    return this.ranges.some((range) =>
      first >= range.first && end <= range.end
    );
  }

  hasRoom(pages: number, alignment: number, limit: number): boolean {
    for (let first = 0; first + pages <= limit; first += alignment) {
      const end = first + pages;
      if (first >= LOWEST && this.contains(first, end)) {
        if (this.free(first, end)) return true;
      }
    }
    return false;
  }
}

const HOLES: readonly PageRun[] = [
  { first: 0, end: 100 },
  { first: 160, end: 161 },
  { first: 255, end: 700 },
  { first: 900, end: 1024 },
];

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`IovaAllocator agrees with a naive one in random operations ${seed}`, () => {
    const random = randomNumbers(seed);
    const any = <T>(items: readonly T[]) => items[random(items.length)]!;
    const size = 1024;
    const allocator = new IovaAllocator(HOLES);
    const naive = new NaiveAllocator(HOLES, size);
    const runs: PageRun[] = [];
    let allocated = 0;
    let refused = 0;
    const keep = (first: number, pages: number) => {
      naive.set(first, pages, true);
      runs.push({ first, end: first + pages });
    };
    for (let step = 0; step < 4000; step++) {
      const pages = 1 + random(any([2, 8, 60]));
      // The space fills up and empties again.
      const filling = step % 1000 < 600;
      if (random(10) < (filling ? 6 : 2)) {
        const alignment = any([1, 1, 2, 16, 64]);
        const limit = any([size, size, size, 300, 64, 10]);
        const room = naive.hasRoom(pages, alignment, limit);
        const first = allocator.allocate(pages, alignment, limit);
        assertEquals(first !== undefined, room, `step ${step}`);
        if (first === undefined) {
          refused++;
          continue;
        }
        allocated++;
        assertEquals(first % alignment, 0);
        assert(first >= LOWEST && first + pages <= limit);
        assert(naive.contains(first, first + pages));
        assert(naive.free(first, first + pages));
        keep(first, pages);
      } else if (random(10) < (filling ? 2 : 8)) {
        const [run] = runs.splice(random(runs.length), 1);
        if (run === undefined) continue;
        allocator.release(run.first);
        naive.set(run.first, run.end - run.first, false);
      } else {
        const first = random(size - pages);
        const end = first + pages;
        const overlapping = runs
          .filter((run) => run.first < end && run.end > first)
          .sort((a, b) => a.first - b.first);
        assertEquals(allocator.overlap(first, end), overlapping[0]);
        assertEquals(
          allocator.contains(first, end),
          naive.contains(first, end),
        );
        if (overlapping.length > 0) continue;
        allocator.take(first, pages);
        keep(first, pages);
      }
    }
    assert(allocated > 500 && refused > 50, `${allocated}, ${refused}`);
  });
}

Deno.test("IovaAllocator keeps thousands of runs in order", () => {
  const random = randomNumbers(5);
  const size = 1 << 14;
  const allocator = new IovaAllocator([{ first: 0, end: size }]);
  const taken = new Set<number>();
  const check = () => {
    for (let page = 0; page < size; page++) {
      assertEquals(
        allocator.overlap(page, page + 1),
        taken.has(page) ? { first: page, end: page + 1 } : undefined,
      );
    }
  };
  // In random order, so that runs are put between others.
  while (taken.size < 9000) {
    const page = random(size);
    if (taken.has(page)) continue;
    allocator.take(page, 1);
    taken.add(page);
  }
  check();
  for (const page of [...taken].filter((page) => page % 3 > 0)) {
    allocator.release(page);
    taken.delete(page);
  }
  check();
  for (const page of taken) allocator.release(page);
  taken.clear();
  check();
});

Deno.test("IovaAllocator.allocate() fills a range to the last page", () => {
  const allocator = new IovaAllocator([{ first: 0, end: 6000 }]);
  const pages = new Set<number>();
  for (let i = LOWEST; i < 6000; i++) {
    pages.add(allocator.allocate(1, 1, 6000)!);
  }
  assertEquals(pages.size, 6000 - LOWEST);
  assertEquals(Math.min(...pages), LOWEST);
  assertEquals(Math.max(...pages), 5999);
  assertEquals(allocator.allocate(1, 1, 6000), undefined);
});

Deno.test("IovaAllocator.allocate() reuses every page when all were released", () => {
  const allocator = new IovaAllocator([{ first: 0, end: 6000 }]);
  const all = Array.from({ length: 6000 - LOWEST }, (_, i) => LOWEST + i);
  for (let round = 0; round < 3; round++) {
    const pages = all.map(() => allocator.allocate(1, 1, 6000)!);
    assertEquals(pages.toSorted((a, b) => a - b), all);
    for (const page of pages) allocator.release(page);
  }
});

Deno.test("IovaAllocator.allocate() takes released pages again when there are no others", () => {
  const allocator = new IovaAllocator([{ first: 16, end: 32 }]);
  const first = allocator.allocate(4, 4, 32)!;
  const second = allocator.allocate(4, 4, 32)!;
  allocator.release(second);
  allocator.release(first);
  assertEquals(allocator.allocate(4, 4, 32), 24);
  assertEquals(allocator.allocate(4, 4, 32), 28);
  assertEquals(allocator.allocate(4, 4, 32), first);
  assertEquals(allocator.allocate(4, 4, 32), second);
});

Deno.test("IovaAllocator.allocate() takes released pages last when the limits differ", () => {
  const allocator = new IovaAllocator([{ first: 16, end: 1024 }]);
  const wide = allocator.allocate(4, 1, 1024)!;
  allocator.release(wide);
  const narrow = allocator.allocate(4, 1, 64)!;
  assertEquals(narrow, wide + 4);
  allocator.release(narrow);
  assertEquals(allocator.allocate(4, 1, 1024), narrow + 4);
});

Deno.test("IovaAllocator.allocate() returns nothing below 64 KiB when that was released", () => {
  const allocator = new IovaAllocator([{ first: 0, end: 1024 }]);
  for (const first of [0, LOWEST - 1]) {
    allocator.take(first, 1);
    allocator.release(first);
    assertEquals(allocator.overlap(first, first + 1), undefined);
  }
  for (let i = 0; i < 4; i++) {
    assert(allocator.allocate(1, 1, 1024)! >= LOWEST);
  }
});

Deno.test("IovaAllocator.allocate() leaves what was released and taken since", () => {
  const allocator = new IovaAllocator([{ first: 0, end: 1024 }]);
  const first = allocator.allocate(4, 4, 1024)!;
  allocator.release(first);
  allocator.take(first + 3, 1);
  const other = allocator.allocate(4, 4, 1024)!;
  assertEquals(allocator.overlap(first, first + 3), undefined);
  assert(other >= first + 4);
});

Deno.test("IovaAllocator.allocate() joins released neighbours to a larger run", () => {
  const allocator = new IovaAllocator([{ first: 16, end: 32 }]);
  const pages = Array.from({ length: 16 }, () => allocator.allocate(1, 1, 32)!);
  assertEquals(allocator.allocate(16, 16, 32), undefined);
  for (const page of pages) allocator.release(page);
  assertEquals(allocator.allocate(16, 16, 32), 16);
});

Deno.test("IovaAllocator.allocate() returns no run that spans two ranges", () => {
  const ranges = [{ first: 16, end: 20 }, { first: 21, end: 24 }];
  const allocator = new IovaAllocator(ranges);
  assertEquals(allocator.allocate(5, 1, 24), undefined);
  assertEquals(allocator.allocate(4, 1, 24), 16);
  assertEquals(allocator.allocate(3, 1, 24), 21);
});

Deno.test("IovaAllocator.allocate() returns nothing when there is no range", () => {
  const allocator = new IovaAllocator([]);
  assertEquals(allocator.allocate(1, 1, 2 ** 52), undefined);
  assert(!allocator.contains(0, 1));
});

Deno.test("IovaAllocator.allocate() uses the new ranges when they have changed", () => {
  const allocator = new IovaAllocator([{ first: 0, end: 64 }]);
  const first = allocator.allocate(8, 8, 1 << 20)!;
  allocator.release(first);
  allocator.ranges = [{ first: 512, end: 520 }];
  assertEquals(allocator.allocate(8, 8, 1 << 20), 512);
  assertEquals(allocator.allocate(8, 8, 1 << 20), undefined);
});

Deno.test("IovaAllocator is exact up to the last page of 64 bits", () => {
  const end = 2 ** 52;
  const allocator = new IovaAllocator([{ first: 0, end }]);
  allocator.take(end - 1, 1);
  assert(allocator.contains(end - 1, end));
  assert(!allocator.contains(end - 1, end + 1));
  assertEquals(allocator.overlap(end - 2, end - 1), undefined);
  assertEquals(allocator.overlap(end - 2, end), { first: end - 1, end });
  const huge = allocator.allocate(2 ** 51, 2 ** 18, end)!;
  assertEquals(huge % 2 ** 18, 0);
  assertLess(huge + 2 ** 51, end);
});

Deno.test("IovaAllocator.holders() lists what runs are taken by, ascending, while they are released", () => {
  const allocator = new IovaAllocator<string>([{ first: 0, end: 10_000 }]);
  const names = Array.from({ length: 300 }, (_, i) => `run ${i}`);
  // Not in their order, so that the last page is no hint.
  for (const i of [...names.keys()].reverse()) {
    allocator.take(100 + 10 * i, 5, names[i]);
  }
  allocator.take(9000, 5);
  assertEquals([...allocator.holders()], names);
  assertEquals(allocator.holder(9000), undefined);
  allocator.hold(9000, "last");
  assertEquals(allocator.holder(9000), "last");
  assertEquals(allocator.holder(110), "run 1");
  assertEquals(allocator.holder(111), undefined);
  assertEquals(allocator.holder(115), undefined);
  assertEquals(allocator.holder(9_999), undefined);

  let page = 100;
  const released: string[] = [];
  for (const name of allocator.holders()) {
    released.push(name);
    allocator.release(name === "last" ? 9000 : page);
    page += 10;
  }
  assertEquals(released, [...names, "last"]);
  assertEquals([...allocator.holders()], []);
  assertEquals(allocator.overlap(0, 10_000), undefined);
});
