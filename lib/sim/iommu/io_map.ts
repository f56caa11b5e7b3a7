import type { Process } from "../fs/file.ts";
import type { PagesSlice } from "../process/memory.ts";

/** A mapping in an IOVA space. */
export interface IoArea {
  /** The first IOVA. */
  readonly iova: bigint;
  /** The last IOVA. */
  readonly last: bigint;
  /** Whose memory it is. */
  readonly process: Process;
  /** Where the process has it. */
  readonly address: bigint;
  /** Whether devices may read it. */
  readonly readable: boolean;
  /** Whether devices may write it. */
  readonly writable: boolean;
  /**
   * The memory while it is pinned, which stays though the process unmaps it.
   */
  pinned: PagesSlice | undefined;
}

/** How a device reaches memory. */
export interface Access {
  /** What it wants to do. */
  readonly direction: "readable" | "writable";
  /**
   * Whether it goes through the IOMMU, whose memory is pinned; else its driver
   * looks for the memory as it is needed.
   */
  readonly translated: boolean;
}

/** A part of an access by DMA. */
export interface Piece {
  /** Where it begins. */
  readonly iova: bigint;
  /** How long it is, in bytes. */
  readonly length: number;
  /** The memory there; none where the IOMMU blocks it. */
  readonly bytes: Uint8Array | undefined;
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
   * What an access to `[iova, iova + length)` meets, piece by piece and in
   * order: memory, or nothing that is mapped for that.
   */
  *translate(iova: bigint, length: number, access: Access): Generator<Piece> {
    const end = iova + BigInt(length);
    for (let at = iova; at < end;) {
      const [area] = this.within(at, end - 1n);
      const hit = area !== undefined && area.iova <= at;
      const next = area === undefined ? end : hit ? area.last + 1n : area.iova;
      const stop = next < end ? next : end;
      const length = Number(stop - at);
      const bytes = hit ? reach(area, at, length, access) : undefined;
      yield { iova: at, length, bytes };
      at = stop;
    }
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

function reach(
  area: IoArea,
  iova: bigint,
  length: number,
  { direction, translated }: Access,
): Uint8Array | undefined {
  if (!area[direction]) return undefined;
  const offset = iova - area.iova;
  const memory = translated
    ? area.pinned
    : area.process.memory.slice(area.address + offset, length);
  if (memory === undefined) return undefined;
  const start = memory.start + (translated ? Number(offset) : 0);
  return memory.pages.bytes.subarray(start, start + length);
}
