import type { OpenFile, Process } from "../fs/file.ts";
import type { RegisterViews } from "../../kernel/kernel.ts";
import type { PagesSlice } from "../process/memory.ts";

/** A mapping in an IOVA space. */
export interface IoArea {
  /** The first IOVA. */
  readonly iova: bigint;
  /** The last IOVA. */
  readonly last: bigint;
  /** The process that has the memory. */
  process: Process;
  /** Its address in the process, or where it begins in its file. */
  address: bigint;
  /** The file that it is memory of, where it was mapped by that. */
  readonly file?: OpenFile;
  /** Whether devices may read it. */
  readonly readable: boolean;
  /** Whether devices may write it. */
  readonly writable: boolean;
  /** How its memory is counted, with that of its copies. */
  readonly charge?: Charge;
  /** The memory, while it is pinned. It stays even if the process unmaps it. */
  pinned: PagesSlice | undefined;
}

/** Memory that is counted once, however often it is pinned. */
export interface Charge {
  /** How many mappings pin it. */
  pins: number;
  /** Bytes that are counted for it. */
  bytes: number;
}

/** The kind of access of a device to memory. */
export interface Access {
  /** Whether it reads or writes. */
  readonly direction: "readable" | "writable";
  /**
   * Whether it goes through the IOMMU, to pinned memory. Otherwise the device's
   * driver looks the memory up at each access.
   */
  readonly translated: boolean;
}

/** A part of an access by DMA. */
export interface Piece {
  /** Its first IOVA. */
  readonly iova: bigint;
  /** Its length in bytes. */
  readonly length: number;
  /** The memory there; `undefined` where the IOMMU blocks the access. */
  readonly bytes: Uint8Array | undefined;
  /** The registers there, in place of memory, and where in these. */
  readonly registers?: { readonly views: RegisterViews; readonly at: number };
}

/** The mappings of an IOVA space, sorted and without overlap. */
export class IoMap {
  readonly #areas: IoArea[] = [];

  /** The mappings, ascending. */
  get areas(): readonly IoArea[] {
    return this.#areas;
  }

  /** The mappings that overlap `[iova, last]`. */
  within(iova: bigint, last: bigint): IoArea[] {
    const found: IoArea[] = [];
    for (let i = this.#indexOf(iova); i < this.#areas.length; i++) {
      const area = this.#areas[i]!;
      if (area.iova > last) break;
      found.push(area);
    }
    return found;
  }

  /** Where the first hole begins in `[iova, last]`; `last + 1` without one. */
  gapFrom(iova: bigint, last: bigint): bigint {
    let at = iova;
    for (const area of this.within(iova, last)) {
      if (area.iova > at) return at;
      at = area.last + 1n;
    }
    return at > last ? last + 1n : at;
  }

  /** Adds a mapping where there is none. */
  add(area: IoArea): void {
    this.#areas.splice(this.#indexOf(area.iova), 0, area);
  }

  /** Removes a mapping. */
  remove(area: IoArea): void {
    this.#areas.splice(this.#indexOf(area.iova), 1);
  }

  /**
   * Splits an access to `[iova, iova + length)` into pieces, in order: each has
   * memory, or is not mapped for that access.
   */
  *translate(iova: bigint, length: number, access: Access): Generator<Piece> {
    const end = iova + BigInt(length);
    for (let at = iova; at < end;) {
      const [area] = this.within(at, end - 1n);
      const covered = area !== undefined && area.iova <= at;
      const next = area === undefined
        ? end
        : covered
        ? area.last + 1n
        : area.iova;
      const pieceEnd = next < end ? next : end;
      const length = Number(pieceEnd - at);
      const memory = covered ? memoryAt(area, at, length, access) : undefined;
      yield { iova: at, length, bytes: undefined, ...memory };
      at = pieceEnd;
    }
  }

  /** The index of the first mapping that ends at `iova` or after it. */
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

function memoryAt(
  area: IoArea,
  iova: bigint,
  length: number,
  { direction, translated }: Access,
): Pick<Piece, "bytes" | "registers"> | undefined {
  if (!area[direction]) return undefined;
  const offset = iova - area.iova;
  const memory = translated
    ? area.pinned
    : memoryOf(area, area.address + offset, length);
  if (memory === undefined || memory.pages.revoked) return undefined;
  const { pages } = memory;
  const at = memory.start + (translated ? Number(offset) : 0);
  const bytes = pages.bytes.subarray(at, at + length);
  return pages.registers === undefined
    ? { bytes }
    : { bytes, registers: { views: pages.registers, at } };
}

/** The memory of a mapping from an address on, or from there in its file. */
export function memoryOf(
  { process, file }: IoArea,
  address: bigint,
  length: number,
): PagesSlice | undefined {
  if (file === undefined) return process.memory.slice(address, length);
  const start = Number(address);
  if (file.dmaBuf !== undefined) return file.dmaBuf(start, length);
  const { pages } = file;
  return pages !== undefined && start + length <= pages.bytes.length
    ? { pages, start, length }
    : undefined;
}
