import { assertEquals } from "@std/assert";
import { DirtyBitmap } from "../../../lib/dma/dirty/bitmap.ts";
import { KeptPages } from "../../../lib/dma/dirty/kept.ts";
import { randomNumbers } from "../random.ts";

const PAGE = 4096;

/** The pages that are marked, asked for one by one. */
function pagesOf(bitmap: DirtyBitmap): number[] {
  return Array.from({ length: bitmap.pages }, (_, page) => page)
    .filter((page) => bitmap.has(bitmap.iova + BigInt(page * PAGE)));
}

/** The same, by its runs. */
function walked(bitmap: DirtyBitmap): number[] {
  const pages: number[] = [];
  for (const { iova, size } of bitmap) {
    const first = Number(iova - bitmap.iova) / PAGE;
    for (let i = 0; i < Number(size) / PAGE; i++) pages.push(first + i);
  }
  return pages;
}

Deno.test("DirtyBitmap tells the same pages by its bytes, its runs and one by one", () => {
  const below = randomNumbers(1);
  for (let round = 0; round < 500; round++) {
    const pages = 1 + below(200);
    const bitmap = new DirtyBitmap(0x10_0000n, pages * PAGE, PAGE);
    const expected = new Set<number>();
    for (let step = 0; step < 6; step++) {
      const from = below(pages);
      const count = 1 + below(pages - from);
      const marks = below(3) > 0;
      if (marks) bitmap.mark(from * PAGE, count * PAGE);
      else bitmap.unmark(from * PAGE, count * PAGE);
      for (let page = from; page < from + count; page++) {
        if (marks) expected.add(page);
        else expected.delete(page);
      }
    }
    const sorted = [...expected].sort((a, b) => a - b);
    assertEquals(pagesOf(bitmap), sorted);
    assertEquals(walked(bitmap), sorted);
    const visited: number[] = [];
    bitmap.forEach((offset, bytes) => {
      for (let at = offset; at < offset + bytes; at += PAGE) {
        visited.push(at / PAGE);
      }
    });
    assertEquals(visited, sorted);
    assertEquals(bitmap.dirtyPages, sorted.length);
    assertEquals(
      sorted.every((page) => (bitmap.bytes[page >> 3]! >> page % 8 & 1) === 1),
      true,
    );
  }
});

Deno.test("DirtyBitmap has runs as long as can be, and none where nothing is marked", () => {
  const bitmap = new DirtyBitmap(0n, 4096 * PAGE, PAGE);
  assertEquals([...bitmap], []);
  bitmap.mark(0, 4096 * PAGE);
  assertEquals([...bitmap], [{ iova: 0n, size: BigInt(4096 * PAGE) }]);
  bitmap.unmark(64 * PAGE, PAGE);
  assertEquals([...bitmap].length, 2);
  assertEquals(bitmap.has(-1n), false);
  assertEquals(bitmap.has(BigInt(4096 * PAGE)), false);
});

Deno.test("KeptPages gives what was kept of a range, until it is forgotten", () => {
  const kept = new KeptPages();
  const add = (page: number, pages: number) => {
    const bitmap = new DirtyBitmap(BigInt(page * PAGE), pages * PAGE, PAGE);
    bitmap.mark(0, pages * PAGE);
    kept.add(bitmap);
  };
  const told = (page: number, pages: number) => {
    const bitmap = new DirtyBitmap(BigInt(page * PAGE), pages * PAGE, PAGE);
    kept.mark(bitmap);
    return { bitmap, pages: pagesOf(bitmap).map((at) => at + page) };
  };
  add(10, 4);
  add(12, 1);
  add(8, 3);
  assertEquals(told(0, 64).pages, [8, 9, 10, 11, 12, 13]);
  kept.forget(told(9, 2).bitmap);
  assertEquals(told(0, 64).pages, [8, 11, 12, 13]);
  kept.addAll(0n, 2 * PAGE, PAGE, "it was lost");
  assertEquals(told(8, 8).bitmap.exact, true);
  const all = told(0, 64);
  assertEquals(all.pages, [0, 1, 8, 11, 12, 13]);
  assertEquals(all.bitmap.reason, "it was lost");
  kept.forget(all.bitmap);
  assertEquals(told(0, 64).pages, []);
});

Deno.test("DirtyBitmap.merge() marks what another one has, wherever the two overlap", () => {
  const below = randomNumbers(3);
  for (let round = 0; round < 300; round++) {
    const [own, other] = [0, 1].map(() => {
      const pages = 1 + below(150);
      const iova = BigInt((100 + below(100)) * PAGE);
      const bitmap = new DirtyBitmap(iova, pages * PAGE, PAGE);
      for (let i = 0; i < 4; i++) {
        const from = below(pages);
        bitmap.mark(from * PAGE, (1 + below(pages - from)) * PAGE);
      }
      return bitmap;
    }) as [DirtyBitmap, DirtyBitmap];
    const at = (page: number) => own.iova + BigInt(page * PAGE);
    const marked = Array.from({ length: own.pages }, (_, page) => page)
      .filter((page) => own.has(at(page)) || other.has(at(page)));
    const gains = marked.some((page) => other.has(at(page)));
    other.blur("a reason");
    own.merge(other);
    assertEquals(pagesOf(own), marked);
    assertEquals(own.dirtyPages, marked.length);
    assertEquals(own.reason, gains ? "a reason" : undefined);
  }
});
