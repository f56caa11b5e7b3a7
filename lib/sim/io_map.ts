import type { PagesSlice } from "./memory.ts";

/** A mapping in an IOMMU's tables. */
export interface IoArea {
  /** The first IOVA. */
  readonly iova: bigint;
  /** The last IOVA. */
  readonly last: bigint;
  /** The memory behind it, which stays though the process unmaps it. */
  readonly memory: PagesSlice;
  /** Whether devices may read it. */
  readonly readable: boolean;
  /** Whether devices may write it. */
  readonly writable: boolean;
}

/** What is mapped in an IOVA space, sorted and without overlap. */
export class IoMap {
  readonly #areas: IoArea[] = [];

  /** The mappings, ascending. */
  get areas(): readonly IoArea[] {
    return this.#areas;
  }

  /** The mappings that lie in `[iova, last]`, wholly or in part. */
  within(iova: bigint, last: bigint): IoArea[] {
    const found: IoArea[] = [];
    for (let i = this.#indexOf(iova); i < this.#areas.length; i++) {
      const area = this.#areas[i]!;
      if (area.iova > last) break;
      found.push(area);
    }
    return found;
  }

  /** Adds a mapping where nothing is. */
  add(area: IoArea): void {
    this.#areas.splice(this.#indexOf(area.iova), 0, area);
  }

  /** Removes a mapping. */
  remove(area: IoArea): void {
    this.#areas.splice(this.#indexOf(area.iova), 1);
  }

  /**
   * The memory behind a range of IOVAs, piece by piece; `undefined` where a
   * part of it is not mapped for that.
   */
  translate(
    iova: bigint,
    length: number,
    access: "readable" | "writable",
  ): Uint8Array[] | undefined {
    const pieces: Uint8Array[] = [];
    const end = iova + BigInt(length);
    for (let at = iova; at < end;) {
      const [area] = this.within(at, at);
      if (area === undefined || !area[access]) return undefined;
      const stop = end <= area.last ? end : area.last + 1n;
      const start = area.memory.start + Number(at - area.iova);
      pieces.push(
        area.memory.pages.bytes.subarray(start, start + Number(stop - at)),
      );
      at = stop;
    }
    return pieces;
  }

  /** The first mapping that ends at `iova` or behind it. */
  #indexOf(iova: bigint): number {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#areas[middle]!.last >= iova) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
