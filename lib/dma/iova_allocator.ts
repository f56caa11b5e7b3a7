/** A run of IOVA pages, `[first, end)`. */
export interface PageRun {
  /** Its first page. */
  readonly first: number;
  /** The page behind its last. */
  readonly end: number;
}

/** 64 KiB: a device that uses an IOVA near 0 mostly does so by mistake. */
const LOWEST = 16;

/**
 * How many runs a chunk holds before it is split in two. Inserting moves at
 * most as many.
 */
const CHUNK_LIMIT = 64;

/**
 * Which IOVAs of an address space are taken, and where there is room.
 *
 * IOVAs are counted in pages of 4 KiB, so that a `number` holds every one of
 * them exactly: 2^64 bytes are 2^52 pages. The runs that are taken are kept
 * sorted, in chunks of bounded length: a mapping costs about the same however
 * many there are.
 *
 * Released pages are taken again last: a device or a driver that still uses an
 * IOVA after its release reaches nothing, rather than other memory.
 */
export class IovaAllocator {
  /** What can be mapped, ascending. */
  ranges: readonly PageRun[];
  readonly #chunks: PageRun[][] = [];
  /** Where the next search starts, by its limit. */
  readonly #cursors = new Map<number, number>();
  /** The page behind what was found last, with any limit. */
  #last = LOWEST;

  /** @param ranges What can be mapped, in pages, ascending. */
  constructor(ranges: readonly PageRun[]) {
    this.ranges = ranges;
  }

  /**
   * Finds room and takes it.
   *
   * @param pages How many pages.
   * @param alignment What the first page is a multiple of.
   * @param limit The page below which all of them are.
   * @returns The first page, or `undefined` where there is no room.
   */
  allocate(
    pages: number,
    alignment: number,
    limit: number,
  ): number | undefined {
    const first = this.#find(pages, alignment, limit);
    if (first !== undefined) this.take(first, pages);
    return first;
  }

  /** Takes pages that {@linkcode IovaAllocator.overlap} says are free. */
  take(first: number, pages: number): void {
    const run = { first, end: first + pages };
    const index = this.#chunkOf(first);
    const chunk = this.#chunks[index];
    if (chunk === undefined) {
      this.#append(run);
      return;
    }
    insert(chunk, indexIn(chunk, first), run);
    this.#split(index, chunk);
  }

  /** Releases the run that was taken from page `first` on. */
  release(first: number): void {
    const index = this.#chunkOf(first);
    const chunk = this.#chunks[index]!;
    remove(chunk, indexIn(chunk, first));
    if (chunk.length === 0) remove(this.#chunks, index);
  }

  /** The first run that lies in `[first, end)`, wholly or in part. */
  overlap(first: number, end: number): PageRun | undefined {
    const chunk = this.#chunks[this.#chunkOf(first)];
    const run = chunk?.[indexIn(chunk, first)];
    return run !== undefined && run.first < end ? run : undefined;
  }

  /** Whether all of `[first, end)` can be mapped. */
  contains(first: number, end: number): boolean {
    return this.ranges.some((range) =>
      range.first <= first && end <= range.end
    );
  }

  /** Finds room behind what was found before, or else anywhere. */
  #find(pages: number, alignment: number, limit: number): number | undefined {
    const last = this.#last < limit ? this.#last : LOWEST;
    const from = Math.max(this.#cursors.get(limit) ?? LOWEST, last);
    const first = this.#search(pages, alignment, from, limit) ??
      this.#search(pages, alignment, LOWEST, limit);
    if (first === undefined) return undefined;
    this.#last = first + pages;
    this.#cursors.set(limit, this.#last);
    return first;
  }

  #search(
    pages: number,
    alignment: number,
    from: number,
    limit: number,
  ): number | undefined {
    for (const range of this.ranges) {
      const last = Math.min(range.end, limit) - pages;
      let first = alignUp(Math.max(range.first, from), alignment);
      while (first <= last) {
        const obstacle = this.overlap(first, first + pages);
        if (obstacle === undefined) return first;
        first = alignUp(obstacle.end, alignment);
      }
    }
    return undefined;
  }

  /** The first chunk with a run that ends behind `page`. */
  #chunkOf(page: number): number {
    return lowerBound(
      this.#chunks.length,
      (i) => this.#chunks[i]!.at(-1)!.end > page,
    );
  }

  #append(run: PageRun): void {
    const last = this.#chunks.length - 1;
    const chunk = this.#chunks[last];
    if (chunk === undefined) {
      this.#chunks.push([run]);
      return;
    }
    chunk.push(run);
    this.#split(last, chunk);
  }

  #split(index: number, chunk: PageRun[]): void {
    if (chunk.length <= CHUNK_LIMIT) return;
    insert(this.#chunks, index + 1, chunk.splice(CHUNK_LIMIT / 2));
  }
}

// Not splice(), which allocates an array for what it removes.
function insert<T>(items: T[], at: number, item: T): void {
  items.push(item);
  for (let i = items.length - 1; i > at; i--) items[i] = items[i - 1]!;
  items[at] = item;
}

function remove<T>(items: T[], at: number): T {
  const item = items[at]!;
  for (let i = at + 1; i < items.length; i++) items[i - 1] = items[i]!;
  items.pop();
  return item;
}

/** The first run of a chunk that ends behind `page`. */
function indexIn(chunk: readonly PageRun[], page: number): number {
  return lowerBound(chunk.length, (i) => chunk[i]!.end > page);
}

/** The first of `count` indexes that `holds`, which then holds for the rest. */
function lowerBound(count: number, holds: (i: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function alignUp(page: number, alignment: number): number {
  return Math.ceil(page / alignment) * alignment;
}
