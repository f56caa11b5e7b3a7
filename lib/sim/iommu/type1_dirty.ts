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
import { DirtyPages } from "./dirty_pages.ts";
import type { IoArea, IoMap } from "./io_map.ts";

const PAGE = 4096n;
const PAGE_MASK = PAGE - 1n;
const END = 1n << 64n;
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
  readonly #written = new DirtyPages();
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
        this.#written.clear();
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
    if (iova + size >= END) refuse("EINVAL");
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
      this.#report(area, iova, bitmap.data, process);
      this.#written.forget(area.iova, area.last);
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
      report: (area) => this.#report(area, iova, bitmap.data, process),
    };
  }

  /**
   * Puts a mapping's bits into the bitmap: in place of all in its words, but for
   * those before it (`update_user_bitmap()`).
   */
  #report(area: IoArea, base: bigint, data: bigint, process: Process): void {
    const bits = process.memory.buffer(data);
    const first = Number((area.iova - base) / PAGE);
    const end = Number((area.last + 1n - base) / PAGE);
    for (let bit = first; bit < Math.ceil(end / 64) * 64; bit++) {
      bits[bit >> 3]! &= ~(1 << bit % 8);
    }
    const mark = (bit: number) => bits[bit >> 3]! |= 1 << bit % 8;
    if (this.#logged.translates) {
      for (let bit = first; bit < end; bit++) mark(bit);
      return;
    }
    for (const at of this.#written.within(area.iova, area.last)) {
      mark(Number((at - base) / PAGE));
    }
  }

  /** Notes a write of a mediated device's driver. */
  note(iova: bigint, length: number): void {
    if (this.#on) this.#written.note(iova, length);
  }

  /** Forgets a mapping that was removed. */
  forget({ iova, last }: IoArea): void {
    this.#written.forget(iova, last);
  }

  /** A group has left whose writes nobody knows. */
  markAll(): void {
    if (!this.#on) return;
    for (const { iova, last } of this.#logged.map.areas) {
      this.#written.note(iova, Number(last - iova + 1n));
    }
  }
}

/** EINVAL where a bitmap has no room (`verify_bitmap_size()`). */
function assertFits({ pgsize, size }: Bitmap, bytes: bigint): void {
  const pages = pgsize === 0n ? 0n : bytes / (pgsize & -pgsize);
  if (
    pages === 0n || size === 0n || size > MAX_BITMAP ||
    size < (pages + 63n) / 64n * 8n
  ) refuse("EINVAL");
}
