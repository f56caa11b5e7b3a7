import { DirtyBitmap, type DirtyRange } from "./bitmap.ts";

/**
 * Written pages that the kernel has told of and nobody has been told yet: it
 * forgets what it reports, and reports more than was asked for.
 */
export class KeptPages {
  readonly #bitmaps = new Set<DirtyBitmap>();

  /** Keeps what is marked in a bitmap, which belongs to it from then on. */
  add(bitmap: DirtyBitmap): void {
    if (bitmap.dirtyPages === 0) return;
    for (const kept of this.#bitmaps) {
      if (!covers(kept, bitmap)) continue;
      kept.merge(bitmap);
      return;
    }
    for (const kept of this.#bitmaps) {
      if (!covers(bitmap, kept)) continue;
      bitmap.merge(kept);
      this.#bitmaps.delete(kept);
    }
    this.#bitmaps.add(bitmap);
  }

  /** Keeps all pages of a range. */
  addAll(iova: bigint, bytes: number, pageSize: number, reason: string): void {
    const bitmap = new DirtyBitmap(iova, bytes, pageSize);
    bitmap.markAll(reason);
    this.add(bitmap);
  }

  /** Marks what is kept of a bitmap's range. */
  mark(bitmap: DirtyBitmap): void {
    for (const kept of this.#bitmaps) bitmap.merge(kept);
  }

  /** Forgets what is kept of a bitmap's range. */
  forget(bitmap: DirtyBitmap): void {
    for (const kept of this.#bitmaps) {
      kept.exclude(bitmap);
      if (kept.dirtyPages === 0) this.#bitmaps.delete(kept);
    }
  }
}

function covers(outer: DirtyRange, inner: DirtyRange): boolean {
  return outer.iova <= inner.iova &&
    inner.iova + inner.size <= outer.iova + outer.size;
}
