const PAGE = 4096n;

/** The pages that devices have written, by their number. */
export class DirtyPages {
  readonly #pages = new Set<bigint>();

  /** Notes a write. */
  note(iova: bigint, length: number): void {
    if (length <= 0) return;
    const last = (iova + BigInt(length) - 1n) / PAGE;
    for (let page = iova / PAGE; page <= last; page++) this.#pages.add(page);
  }

  /** The first IOVAs of the pages in `[iova, last]`. */
  *within(iova: bigint, last: bigint): Generator<bigint> {
    for (const page of this.#pages) {
      const at = page * PAGE;
      if (at + PAGE > iova && at <= last) yield at;
    }
  }

  /** Forgets those in `[iova, last]`. */
  forget(iova: bigint, last: bigint): void {
    for (const at of this.within(iova, last)) this.#pages.delete(at / PAGE);
  }

  /** Forgets all. */
  clear(): void {
    this.#pages.clear();
  }
}
