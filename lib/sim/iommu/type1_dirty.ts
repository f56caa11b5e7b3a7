import {
  vfio_bitmap,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_unmap,
} from "../../uapi/vfio/all.ts";
import type { Process } from "../fs/file.ts";
import { inMemory, received, sizeOf } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";
import type { IoArea, IoMap } from "./io_map.ts";

const PAGE = 4096n;
const PAGE_MASK = PAGE - 1n;
const LAST = 0xffff_ffff_ffff_ffffn;
/** The largest bitmap, in bytes. */
export const MAX_BITMAP = 0x1000_0000n;

const FLAGS = VFIO_IOMMU_DIRTY_PAGES_FLAG_START |
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP | VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;

/** What the log is about. */
interface Logged {
  readonly map: IoMap;
  readonly version: 1 | 2;
  /** Whether an IOMMU translates for a group: it logs nothing. */
  readonly translates: boolean;
  /** The errno for a range that wraps around. */
  readonly wraps: string;
}

/** A bitmap of the process, as `struct vfio_bitmap` describes it. */
interface Bitmap {
  readonly pgsize: bigint;
  readonly size: bigint;
  readonly data: bigint;
}

/**
 * What a container logs of the memory that its devices write
 * (`vfio_iommu_type1_dirty_pages()` in `drivers/vfio/vfio_iommu_type1.c`).
 */
export class Type1Dirty {
  readonly #logged: Logged;
  /** The kernel's bitmap of each mapping, the first page in the lowest bit. */
  readonly #bitmaps = new Map<IoArea, bigint>();
  #on = false;

  /** @param logged What it is about. */
  constructor(logged: Logged) {
    this.#logged = logged;
  }

  /** VFIO_IOMMU_DIRTY_PAGES. */
  control(argument: Uint8Array | bigint, process: Process): number {
    if (this.#logged.version === 1) refuse("EACCES");
    const layout = vfio_iommu_type1_dirty_bitmap;
    const { argsz, flags } = received(layout, argument);
    if ((flags & ~FLAGS) !== 0) refuse("EINVAL");
    switch (flags) {
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
        this.#on = true;
        return 0;
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
        this.#on = false;
        this.#bitmaps.clear();
        return 0;
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP: {
        const get = vfio_iommu_type1_dirty_bitmap_get;
        if (argsz - layout.size < get.size) refuse("EINVAL");
        this.#get(get.decode(inMemory(argument), layout.size), process);
        return 0;
      }
      default:
        return refuse("EINVAL");
    }
  }

  #get(
    { iova, size, bitmap }: { iova: bigint; size: bigint; bitmap: Bitmap },
    process: Process,
  ): void {
    if (iova + size > LAST) refuse(this.#logged.wraps);
    assertFits(bitmap, size);
    if (bitmap.pgsize !== PAGE) refuse("EINVAL");
    if ((iova & PAGE_MASK) !== 0n) refuse("EINVAL");
    if (size === 0n || (size & PAGE_MASK) !== 0n) refuse("EINVAL");
    if (!this.#on) refuse("EINVAL");
    const last = iova + size - 1n;
    const areas = this.#logged.map.within(iova, last);
    if (areas.some((area) => area.iova < iova || area.last > last)) {
      refuse("EINVAL");
    }
    for (const area of areas) {
      const left = this.#report(area, iova, bitmap.data, process);
      // Only the bits that it has pages for.
      const pages = pagesOf(area);
      this.#bitmaps.set(area, left >> pages << pages);
    }
  }

  /**
   * Checks an unmap that reads the bitmap too.
   *
   * @returns Reports a mapping that it unmaps.
   */
  unmapped(
    argument: Uint8Array | bigint,
    process: Process,
  ): { readonly allowed: boolean; readonly report: (area: IoArea) => void } {
    const layout = vfio_iommu_type1_dma_unmap;
    if (sizeOf(argument) < layout.size + vfio_bitmap.size) refuse("EINVAL");
    const bytes = inMemory(argument);
    const { iova, size } = layout.decode(bytes);
    const bitmap = vfio_bitmap.decode(bytes, layout.size);
    assertFits(bitmap, size);
    return {
      allowed: this.#on && bitmap.pgsize === PAGE,
      report: (area) => void this.#report(area, iova, bitmap.data, process),
    };
  }

  /**
   * Puts a mapping's bits into the bitmap, in place of all in its words
   * (`update_user_bitmap()`). Where it does not begin with a word, the kernel
   * shifts its own bitmap, and puts into it what is before it in the word: of
   * that, it clears too little afterwards, so that the next read has bits behind
   * those of the mapping.
   *
   * @returns The kernel's bitmap then.
   */
  #report(area: IoArea, base: bigint, data: bigint, process: Process): bigint {
    const pages = pagesOf(area);
    let bitmap = this.#bitmaps.get(area) ?? 0n;
    if (this.#logged.translates) bitmap |= (1n << pages) - 1n;
    const offset = (area.iova - base) / PAGE;
    const shift = offset % 64n;
    const at = Number(offset / 64n) * 8;
    const words = (pages + shift + 63n) / 64n;
    const bits = process.memory.buffer(data);
    const view = new DataView(bits.buffer, bits.byteOffset);
    if (shift > 0n) {
      const size = words * 64n;
      const shifted = BigInt.asUintN(Number(size), bitmap << shift);
      bitmap = bitmap >> size << size | shifted;
      bitmap |= view.getBigUint64(at, true);
    }
    for (let word = 0n; word < words; word++) {
      const value = BigInt.asUintN(64, bitmap >> word * 64n);
      view.setBigUint64(at + Number(word) * 8, value, true);
    }
    return bitmap;
  }

  /** Notes a write of a mediated device's driver. */
  note(iova: bigint, length: number): void {
    if (!this.#on || length <= 0) return;
    const last = iova + BigInt(length) - 1n;
    for (const area of this.#logged.map.within(iova, last)) {
      const first = iova > area.iova ? (iova - area.iova) / PAGE : 0n;
      const end = last < area.last
        ? (last - area.iova) / PAGE + 1n
        : pagesOf(area);
      this.#mark(area, first, end);
    }
  }

  #mark(area: IoArea, first: bigint, end: bigint): void {
    const bits = ((1n << end - first) - 1n) << first;
    this.#bitmaps.set(area, (this.#bitmaps.get(area) ?? 0n) | bits);
  }

  /** Forgets a mapping that was removed. */
  forget(area: IoArea): void {
    this.#bitmaps.delete(area);
  }

  /** A group has left whose writes nobody knows. */
  markAll(): void {
    if (!this.#on) return;
    for (const area of this.#logged.map.areas) {
      this.#mark(area, 0n, pagesOf(area));
    }
  }
}

function pagesOf({ iova, last }: IoArea): bigint {
  return (last - iova + 1n) / PAGE;
}

/** EINVAL where a bitmap has no room (`verify_bitmap_size()`). */
function assertFits({ pgsize, size }: Bitmap, bytes: bigint): void {
  const pages = pgsize === 0n ? 0n : bytes / (pgsize & -pgsize);
  if (
    pages === 0n || size === 0n || size > MAX_BITMAP ||
    size < (pages + 63n) / 64n * 8n
  ) refuse("EINVAL");
}
