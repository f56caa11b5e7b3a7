import { MAP_HUGE_MASK, MAP_HUGE_SHIFT } from "../../uapi/linux/mman.ts";
import { refuse } from "./refusal.ts";

/** The default size of a huge page, as the base-2 logarithm: 2 MiB. */
const DEFAULT_SHIFT = 21;

/** Returns the size of the huge pages that an mmap with these flags gives. */
export function hugePageSize(flags: number): number {
  return 2 ** shiftOf(flags);
}

function shiftOf(flags: number): number {
  return flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK || DEFAULT_SHIFT;
}

/** Huge pages of one size on one NUMA node. */
interface Pool {
  total: number;
  used: number;
}

/**
 * The pools of huge pages, by the base-2 logarithm of their size and by NUMA
 * node (`mm/hugetlb.c`).
 */
export class HugePages {
  /** How many NUMA nodes there are. */
  nodes = 1;
  readonly #pools = new Map<number, Pool[]>([[DEFAULT_SHIFT, []], [30, []]]);

  /** The sizes of huge pages. */
  get shifts(): Iterable<number> {
    return this.#pools.keys();
  }

  /** Returns how many pages of a size there are, on a node or on all. */
  total(shift: number, node?: number): number {
    return this.#on(shift, node).reduce((sum, { total }) => sum + total, 0);
  }

  /** Returns how many pages of a size are free, on a node or on all. */
  free(shift: number, node?: number): number {
    return this.#on(shift, node)
      .reduce((sum, { total, used }) => sum + total - used, 0);
  }

  /**
   * Sets the number of pages of a size, but not below the number in use.
   *
   * @param shift The size.
   * @param count The number of pages.
   * @param node The node. Default: the change is spread over all nodes.
   */
  reserve(shift: number, count: number, node?: number): void {
    if (!this.#pools.has(shift)) this.#pools.set(shift, []);
    const pools = this.#on(shift, node);
    const used = pools.reduce((sum, { used }) => sum + used, 0);
    let remaining = Math.max(count, used) - this.total(shift, node);
    while (remaining !== 0) {
      const share = Math.ceil(Math.abs(remaining) / pools.length);
      for (const pool of pools) {
        const change = remaining > 0
          ? Math.min(share, remaining)
          : -Math.min(share, -remaining, pool.total - pool.used);
        pool.total += change;
        remaining -= change;
      }
    }
  }

  /**
   * Takes the pages that an mmap with these flags needs. ENOMEM where there are
   * too few.
   *
   * @returns A function that frees them.
   */
  take(length: number, flags: number): () => void {
    const shift = shiftOf(flags);
    if (!this.#pools.has(shift)) refuse("EINVAL");
    let count = Math.ceil(length / 2 ** shift);
    if (this.free(shift) < count) refuse("ENOMEM");
    const takenPages = this.#on(shift).map((pool) => {
      const pages = Math.min(count, pool.total - pool.used);
      pool.used += pages;
      count -= pages;
      return { pool, pages };
    });
    return () => {
      for (const { pool, pages } of takenPages) pool.used -= pages;
    };
  }

  #on(shift: number, node?: number): Pool[] {
    const pools = this.#pools.get(shift) ?? [];
    while (pools.length < this.nodes) pools.push({ total: 0, used: 0 });
    return node === undefined ? pools : pools.slice(node, node + 1);
  }
}
