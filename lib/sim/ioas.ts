import {
  iommu_ioas_iova_ranges,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  iommu_iova_range,
} from "../uapi/iommufd.ts";
import type { Process } from "./file.ts";
import { type IoArea, IoMap } from "./io_map.ts";
import type { IovaWindow } from "./iommu.ts";
import type { Machine } from "./machine.ts";
import { refuse } from "./refusal.ts";

const LAST = 0xffff_ffff_ffff_ffffn;
const PAGE = 4096n;
const FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
  IOMMU_IOAS_MAP_WRITEABLE;

/** What is asked of IOMMU_IOAS_MAP. */
export interface IoasMapRequest {
  /** `IOMMU_IOAS_MAP_*`. */
  readonly flags: number;
  /** Must be 0. */
  readonly __reserved: number;
  /** The memory. */
  readonly user_va: bigint;
  /** Its length in bytes. */
  readonly length: bigint;
  /** Where, if that is fixed. */
  readonly iova: bigint;
}

/** An IO address space (`drivers/iommu/iommufd/io_pagetable.c`). */
export class Ioas {
  /** What is mapped. */
  readonly map = new IoMap();
  readonly #machine: Machine;
  readonly #owners = new Map<IoArea, Process>();
  /** How many devices are attached to it. */
  attached = 0;

  /**
   * An empty IO address space.
   *
   * @param machine The machine it is on.
   */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** What can be mapped: everything, until a device brings its windows. */
  get ranges(): readonly IovaWindow[] {
    const { iommu } = this.#machine;
    return this.attached === 0 || iommu === undefined
      ? [{ start: 0n, last: LAST }]
      : iommu.ranges;
  }

  /** What IOVAs are multiples of: any byte, until a device is attached. */
  get alignment(): bigint {
    return this.attached === 0 ? 1n : PAGE;
  }

  /** A device joins: EADDRINUSE where what is mapped is in its windows. */
  attach(): void {
    const { iommu } = this.#machine;
    const conflict = this.map.areas.some(({ iova, last }) =>
      iommu !== undefined && !iommu.translates(iova, last)
    );
    const unaligned = this.map.areas.some(({ iova, last }) =>
      iova % PAGE !== 0n || (last + 1n) % PAGE !== 0n
    );
    if (conflict || unaligned) refuse("EADDRINUSE");
    this.attached++;
  }

  /** A device leaves. */
  detach(): void {
    this.attached--;
  }

  /** IOMMU_IOAS_IOVA_RANGES: EMSGSIZE where there is too little room. */
  iovaRanges(argument: Uint8Array, process: Process): number {
    const asked = iommu_ioas_iova_ranges.decode(argument);
    const { ranges } = this;
    iommu_ioas_iova_ranges.encode(argument, {
      ...asked,
      num_iovas: ranges.length,
      out_iova_alignment: this.alignment,
    });
    const room = Math.min(asked.num_iovas, ranges.length);
    if (room > 0) {
      const array = process.memory.buffer(asked.allowed_iovas);
      for (const [i, range] of ranges.slice(0, room).entries()) {
        iommu_iova_range.encode(array, range, i * iommu_iova_range.size);
      }
    }
    if (room < ranges.length) refuse("EMSGSIZE");
    return 0;
  }

  /** IOMMU_IOAS_MAP; gives the IOVA. */
  mapUser(request: IoasMapRequest, process: Process): bigint {
    const { flags, user_va, length } = request;
    if ((flags & ~FLAGS) !== 0 || request.__reserved !== 0) {
      refuse("EOPNOTSUPP");
    }
    if (request.iova >= LAST || length >= LAST) refuse("EOVERFLOW");
    const access = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
    if ((flags & access) === 0) refuse("EINVAL");
    if (length === 0n) refuse("EINVAL");
    if (user_va + length > LAST) refuse("EOVERFLOW");
    if (length % this.alignment !== 0n) refuse("EINVAL");
    const fixed = (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
    const iova = fixed ? request.iova : this.#choose(length);
    const last = iova + length - 1n;
    if (iova % this.alignment !== 0n) refuse("EINVAL");
    if (last > LAST) refuse("EOVERFLOW");
    if (!this.#mappable(iova, last)) refuse("EINVAL");
    if (this.map.within(iova, last).length > 0) refuse("EEXIST");
    if (user_va % this.alignment !== 0n) refuse("EINVAL");
    const memory = process.memory.slice(user_va, Number(length)) ??
      refuse("EFAULT");
    this.#pin(process, memory.length);
    const area: IoArea = {
      iova,
      last,
      memory,
      readable: (flags & IOMMU_IOAS_MAP_READABLE) !== 0,
      writable: (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0,
    };
    this.#owners.set(area, process);
    this.map.add(area);
    return iova;
  }

  /** IOMMU_IOAS_UNMAP; gives the bytes that were unmapped. */
  unmapRange(
    { iova, length }: { readonly iova: bigint; readonly length: bigint },
  ): bigint {
    if (iova === 0n && length === LAST) return this.unmapAll();
    if (iova >= LAST || length >= LAST) refuse("EOVERFLOW");
    if (length === 0n) refuse("EINVAL");
    const last = iova + length - 1n;
    if (last > LAST) refuse("EOVERFLOW");
    let unmapped = 0n;
    for (const area of this.map.within(iova, last)) {
      if (area.iova < iova || area.last > last) refuse("ENOENT");
      unmapped += area.last - area.iova + 1n;
      this.#remove(area);
    }
    return unmapped === 0n ? refuse("ENOENT") : unmapped;
  }

  /** Unmaps everything; gives the bytes that were unmapped. */
  unmapAll(): bigint {
    let unmapped = 0n;
    for (const area of [...this.map.areas]) {
      unmapped += area.last - area.iova + 1n;
      this.#remove(area);
    }
    return unmapped;
  }

  #mappable(iova: bigint, last: bigint): boolean {
    return this.ranges.some((range) =>
      range.start <= iova && last <= range.last
    );
  }

  #choose(length: bigint): bigint {
    for (const range of this.ranges) {
      let iova = range.start;
      for (const area of this.map.within(range.start, range.last)) {
        if (area.iova - iova >= length) break;
        iova = (area.last + PAGE) / PAGE * PAGE;
      }
      if (iova + length - 1n <= range.last) return iova;
    }
    return refuse("ENOSPC");
  }

  // Locked memory counts per user, unless the process may lock all it wants.
  #pin(process: Process, bytes: number): void {
    const { pinnedByUser } = this.#machine;
    const pinned = (pinnedByUser.get(process.uid) ?? 0) + bytes;
    if (process.uid !== 0 && pinned > process.memlock) refuse("ENOMEM");
    pinnedByUser.set(process.uid, pinned);
    process.pinned += bytes;
  }

  #remove(area: IoArea): void {
    this.map.remove(area);
    const process = this.#owners.get(area);
    this.#owners.delete(area);
    if (process === undefined) return;
    const { pinnedByUser } = this.#machine;
    const pinned = pinnedByUser.get(process.uid) ?? 0;
    pinnedByUser.set(process.uid, pinned - area.memory.length);
    process.pinned -= area.memory.length;
  }
}
