import { MAP_HUGE_MASK, MAP_HUGE_SHIFT } from "../uapi/mman.ts";
import { refuse } from "./refusal.ts";

/** The default size of a huge page, as the base-2 logarithm: 2 MiB. */
const DEFAULT_SHIFT = 21;

/** The pool of huge pages, by the base-2 logarithm of their size. */
export class HugePages {
  readonly #free = new Map<number, number>();

  /** How many pages of a size are free. */
  free(shift: number): number {
    return this.#free.get(shift) ?? 0;
  }

  /** Sets how many pages of a size are free, as `nr_hugepages` does. */
  reserve(shift: number, count: number): void {
    this.#free.set(shift, count);
  }

  /** Takes what an mmap with these flags needs; ENOMEM where it is not there. */
  take(length: number, flags: number): void {
    const shift = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK || DEFAULT_SHIFT;
    const count = Math.ceil(length / 2 ** shift);
    if (this.free(shift) < count) refuse("ENOMEM");
    this.#free.set(shift, this.free(shift) - count);
  }
}
