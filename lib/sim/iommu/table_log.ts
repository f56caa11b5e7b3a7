import { DirtyPages } from "./dirty_pages.ts";
import type { IoMap } from "./io_map.ts";

/** The log of a page table. */
export class TableLog {
  readonly #written = new DirtyPages();
  #on = false;

  /** Notes a write of a device. */
  note(iova: bigint, length: number): void {
    if (this.#on) this.#written.note(iova, length);
  }

  /** Starts it, which clears it, or stops it. */
  set(on: boolean): void {
    this.#on = on;
    if (on) this.#written.clear();
  }

  /** The pages from an IOVA on, up to the first hole of what is mapped. */
  *read(
    map: IoMap,
    iova: bigint,
    last: bigint,
    clear: boolean,
  ): Generator<bigint> {
    if (!this.#on) return;
    let end = iova;
    for (const area of map.within(iova, last)) {
      if (area.iova > end) break;
      end = area.last + 1n;
    }
    if (end === iova) return;
    const to = end - 1n < last ? end - 1n : last;
    yield* this.#written.within(iova, to);
    if (clear) this.#written.forget(iova, to);
  }
}
