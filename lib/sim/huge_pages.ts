import { MAP_HUGE_MASK, MAP_HUGE_SHIFT } from "../uapi/mman.ts";
import { refuse } from "./refusal.ts";

/** The default size of a huge page, as the base-2 logarithm: 2 MiB. */
const DEFAULT_SHIFT = 21;

/** Huge pages of one size. */
interface Pool {
  total: number;
  used: number;
}

/** The pools of huge pages, by the base-2 logarithm of their size. */
export class HugePages {
  readonly #pools = new Map<number, Pool>([
    [DEFAULT_SHIFT, { total: 0, used: 0 }],
    [30, { total: 0, used: 0 }],
  ]);

  /** The sizes that there can be. */
  get shifts(): Iterable<number> {
    return this.#pools.keys();
  }

  /** How many pages of a size there are. */
  total(shift: number): number {
    return this.#pools.get(shift)?.total ?? 0;
  }

  /** How many pages of a size are free. */
  free(shift: number): number {
    const { total, used } = this.#pools.get(shift) ?? { total: 0, used: 0 };
    return total - used;
  }

  /** Sets how many there are of a size, or as few as are in use. */
  reserve(shift: number, count: number): void {
    const { used } = this.#pools.get(shift) ?? { used: 0 };
    this.#pools.set(shift, { total: Math.max(count, used), used });
  }

  /**
   * Takes what an mmap with these flags needs; ENOMEM where it is not there.
   *
   * @returns Gives it back.
   */
  take(length: number, flags: number): () => void {
    const shift = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK || DEFAULT_SHIFT;
    const count = Math.ceil(length / 2 ** shift);
    const pool = this.#pools.get(shift) ?? refuse("EINVAL");
    if (pool.total - pool.used < count) refuse("ENOMEM");
    const take = (pages: number) => {
      this.#pools.get(shift)!.used += pages;
    };
    take(count);
    return () => take(-count);
  }
}
