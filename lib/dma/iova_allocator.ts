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
 * Which IOVAs of an address space are taken, by what, and where there is room.
 *
 * IOVAs are counted in pages of 4 KiB, so that a `number` holds every one of
 * them exactly: 2^64 bytes are 2^52 pages. The runs that are taken are kept
 * sorted, in chunks of bounded length: a mapping costs about the same however
 * many there are.
 *
 * Released pages are taken again last: a device or a driver that still uses an
 * IOVA after its release reaches nothing, rather than other memory.
 */
export class IovaAllocator<T = undefined> {
  /** What can be mapped, ascending. */
  ranges: readonly PageRun[];
  /** At least one; only the one that is alone can be empty. */
  readonly #chunks: Chunk<T>[] = [new Chunk()];
  /** Where the next search starts, by its limit. */
  readonly #cursors = new Map<number, number>();
  /** The limit of the last search, which is that of the next as a rule. */
  #limit = 0;
  /** Where the next search with that limit starts. */
  #cursor = LOWEST;
  /** The page behind what was found last, with any limit. */
  #last = LOWEST;
  /** The page behind all that is taken. */
  #top = 0;

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
    const first = this.find(pages, alignment, limit);
    if (first !== undefined) this.take(first, pages);
    return first;
  }

  /**
   * Takes pages that {@linkcode IovaAllocator.find} found, or that
   * {@linkcode IovaAllocator.overlap} says are free.
   *
   * @param first The first page.
   * @param pages How many pages.
   * @param holder What they are taken by.
   */
  take(first: number, pages: number, holder?: T): void {
    const end = first + pages;
    const isLast = first >= this.#top;
    if (isLast) this.#top = end;
    const index = isLast ? this.#chunks.length - 1 : this.#chunkOf(first);
    const chunk = this.#chunks[index]!;
    chunk.insert(
      isLast ? chunk.length : chunk.indexOf(first),
      first,
      end,
      holder,
    );
    if (chunk.length > CHUNK_LIMIT) {
      insert(this.#chunks, index + 1, chunk.split());
    }
  }

  /** Releases the run that was taken from page `first` on. */
  release(first: number): void {
    const index = this.#chunkOf(first);
    const chunk = this.#chunks[index]!;
    chunk.remove(chunk.indexOf(first));
    const chunks = this.#chunks;
    // The only chunk stays: most spaces never have another.
    if (chunk.length === 0 && chunks.length > 1) remove(chunks, index);
    if (index >= chunks.length - 1) this.#top = chunks[chunks.length - 1]!.end;
  }

  /** The first run that lies in `[first, end)`, wholly or in part. */
  overlap(first: number, end: number): PageRun | undefined {
    if (first >= this.#top) return undefined;
    const chunk = this.#chunks[this.#chunkOf(first)]!;
    const run = chunk.at(chunk.indexOf(first));
    return run.first < end ? run : undefined;
  }

  /** Whether all of `[first, end)` can be mapped. */
  contains(first: number, end: number): boolean {
    return this.ranges.some((range) =>
      range.first <= first && end <= range.end
    );
  }

  /** What the run that begins at page `first` is taken by. */
  holder(first: number): T | undefined {
    const chunk = this.#chunks[this.#chunkOf(first)];
    if (chunk === undefined) return undefined;
    const index = chunk.indexOf(first);
    return index < chunk.length && chunk.at(index).first === first
      ? chunk.holder(index)
      : undefined;
  }

  /** Says what the run that begins at page `first` is taken by. */
  hold(first: number, holder: T): void {
    const chunk = this.#chunks[this.#chunkOf(first)]!;
    chunk.hold(chunk.indexOf(first), holder);
  }

  /** What runs are taken by, ascending. Releasing the present one is allowed. */
  *holders(): Generator<T> {
    for (const chunk of [...this.#chunks]) yield* chunk.holders();
  }

  /**
   * Finds room behind what was found before, or else anywhere.
   *
   * @param pages How many pages.
   * @param alignment What the first page is a multiple of.
   * @param limit The page below which all of them are.
   * @returns The first page, or `undefined` where there is no room.
   */
  find(pages: number, alignment: number, limit: number): number | undefined {
    if (limit !== this.#limit) this.#changeLimit(limit);
    const last = this.#last < limit ? this.#last : LOWEST;
    const from = Math.max(this.#cursor, last);
    const first = this.#search(pages, alignment, from, limit) ??
      this.#search(pages, alignment, LOWEST, limit);
    if (first === undefined) return undefined;
    this.#last = this.#cursor = first + pages;
    return first;
  }

  #changeLimit(limit: number): void {
    this.#cursors.set(this.#limit, this.#cursor);
    this.#limit = limit;
    this.#cursor = this.#cursors.get(limit) ?? LOWEST;
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
    const chunks = this.#chunks;
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (chunks[middle]!.end > page) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Runs that follow each other. */
class Chunk<T> {
  readonly #firsts: number[] = [];
  readonly #ends: number[] = [];
  readonly #holders: (T | undefined)[] = [];

  get length(): number {
    return this.#ends.length;
  }

  /** The page behind its last; 0 where it is empty. */
  get end(): number {
    const ends = this.#ends;
    return ends.length === 0 ? 0 : ends[ends.length - 1]!;
  }

  at(index: number): PageRun {
    return { first: this.#firsts[index]!, end: this.#ends[index]! };
  }

  /** The first run that ends behind `page`. */
  indexOf(page: number): number {
    const ends = this.#ends;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! > page) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  insert(
    index: number,
    first: number,
    end: number,
    holder: T | undefined,
  ): void {
    insert(this.#firsts, index, first);
    insert(this.#ends, index, end);
    insert(this.#holders, index, holder);
  }

  remove(index: number): void {
    remove(this.#firsts, index);
    remove(this.#ends, index);
    remove(this.#holders, index);
  }

  holder(index: number): T | undefined {
    return this.#holders[index];
  }

  hold(index: number, holder: T): void {
    this.#holders[index] = holder;
  }

  /** Those that there are now. */
  holders(): T[] {
    return this.#holders.filter((holder) => holder !== undefined);
  }

  /** Gives the second half away. */
  split(): Chunk<T> {
    const half = new Chunk<T>();
    half.#firsts.push(...this.#firsts.splice(CHUNK_LIMIT / 2));
    half.#ends.push(...this.#ends.splice(CHUNK_LIMIT / 2));
    half.#holders.push(...this.#holders.splice(CHUNK_LIMIT / 2));
    return half;
  }
}

// Not splice(), which allocates an array for what it removes.
function insert<T>(items: T[], at: number, item: T): void {
  items.push(item);
  for (let i = items.length - 1; i > at; i--) items[i] = items[i - 1]!;
  items[at] = item;
}

function remove<T>(items: T[], at: number): void {
  for (let i = at + 1; i < items.length; i++) items[i - 1] = items[i]!;
  items.pop();
}

function alignUp(page: number, alignment: number): number {
  return Math.ceil(page / alignment) * alignment;
}
