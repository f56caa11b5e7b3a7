import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from "../../uapi/iommufd/all.ts";
import { min } from "../../ranges.ts";
import type { Device } from "../driver/bus.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import { type IoArea, IoMap } from "./io_map.ts";
import type { IovaWindow } from "./iommu.ts";
import type { Machine } from "../machine/machine.ts";
import {
  type Account,
  pin,
  pinAll,
  unpin,
  unpinAll,
  userAccount,
} from "./pinning.ts";
import { refuse } from "../process/refusal.ts";

const LAST = 0xffff_ffff_ffff_ffffn;
const PAGE = 4096n;
/** The largest alignment of an IOVA that the kernel chooses: a huge page. */
const HUGE_PAGE = 1n << 21n;

/** The arguments of IOMMU_IOAS_MAP or IOMMU_IOAS_MAP_FILE, except the IOAS. */
export interface IoasMapRequest {
  /** `IOMMU_IOAS_MAP_*`. */
  readonly flags: number;
  /** The address of the memory, or where it begins in its file. */
  readonly address: bigint;
  /** The file. */
  readonly file?: OpenFile;
  /** Its length in bytes. */
  readonly length: bigint;
  /** The IOVA, if it is fixed. */
  readonly iova: bigint;
}

/** The arguments of IOMMU_IOAS_COPY, except the address spaces. */
export interface IoasCopyRequest {
  /** `IOMMU_IOAS_MAP_*`. */
  readonly flags: number;
  /** Its length in bytes. */
  readonly length: bigint;
  /** Where it is mapped. */
  readonly src_iova: bigint;
  /** Where it will be, if that is fixed. */
  readonly dst_iova: bigint;
}

/**
 * An IO address space (`drivers/iommu/iommufd/io_pagetable.c`).
 *
 * Memory is pinned while a page table has the mappings. Before that, the kernel
 * does not check that the memory exists. Devices add reserved windows, and page
 * tables add the limits of the IOMMU.
 */
export class Ioas {
  /** The mappings. */
  readonly map = new IoMap();
  readonly #machine: Machine;
  readonly #account: Account;
  /** The devices whose reserved windows apply. */
  readonly #devices = new Set<Device>();
  /** The only IOVAs that are chosen and that devices must leave free. */
  #allowed: readonly IovaWindow[] = [];
  #hugePages = true;
  #tables = 0;
  /** How many of the page tables the IOMMU uses. */
  #translating = 0;
  /** How many mediated devices are attached. They need no page table. */
  #accesses = 0;

  /**
   * Makes an empty IO address space.
   *
   * @param machine The machine it is on.
   */
  constructor(machine: Machine) {
    this.#machine = machine;
    this.#account = userAccount(machine);
  }

  /** The IOVAs that can be mapped, ascending: all of them without a device. */
  get ranges(): readonly IovaWindow[] {
    const ranges: IovaWindow[] = [];
    let start = 0n;
    for (const reserved of this.#reserved) {
      if (reserved.start > start) {
        ranges.push({ start, last: reserved.start - 1n });
      }
      start = reserved.last + 1n;
    }
    if (start <= LAST) ranges.push({ start, last: LAST });
    return ranges;
  }

  /** The alignment of IOVAs: 1 until a device is attached. */
  get alignment(): bigint {
    return this.inUse ? PAGE : 1n;
  }

  /** Whether a device is attached, so that it cannot be destroyed. */
  get inUse(): boolean {
    return this.#tables + this.#accesses > 0;
  }

  /** Reserves a device's windows. EADDRINUSE where one is mapped. */
  reserve(device: Device): void {
    const { reserved } = this.#machine.iommu!;
    if (reserved.some((window) => this.#isTaken(window))) refuse("EADDRINUSE");
    this.#machine.assertAttachable(device.group!);
    this.#devices.add(device);
  }

  /** Undoes {@linkcode Ioas.reserve}. */
  unreserve(device: Device): void {
    this.#devices.delete(device);
  }

  /**
   * Adds a page table, which gets the mappings. EADDRINUSE where it cannot have
   * one.
   *
   * @param translates Whether the IOMMU uses it.
   */
  addTable(translates: boolean): void {
    if (this.#tables === 0) this.#assertAligned();
    if (
      translates && this.#translating === 0 &&
      this.#isTaken(this.#untranslatable)
    ) {
      refuse("EADDRINUSE");
    }
    if (this.#tables === 0) pinAll(this.map.areas, this.#account);
    this.#tables++;
    if (translates) this.#translating++;
  }

  /** Undoes {@linkcode Ioas.addTable}. */
  removeTable(translates: boolean): void {
    if (translates) this.#translating--;
    if (--this.#tables === 0) unpinAll(this.map.areas, this.#account);
  }

  /** Adds a mediated device. EADDRINUSE as for a page table. */
  addAccess(): void {
    this.#assertAligned();
    this.#accesses++;
  }

  /** Undoes {@linkcode Ioas.addAccess}. */
  removeAccess(): void {
    this.#accesses--;
  }

  /** Does IOMMU_IOAS_MAP, with valid flags, and returns the IOVA. */
  mapUser(request: IoasMapRequest, process: Process): bigint {
    const { flags, address, length, file } = request;
    if (address + length > LAST) refuse("EOVERFLOW");
    if (length === 0n || length % this.alignment !== 0n) refuse("EINVAL");
    const fixed = (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
    const iova = fixed ? request.iova : this.#find(address, length);
    const last = iova + length - 1n;
    if (iova % this.alignment !== 0n) refuse("EINVAL");
    if (last > LAST) refuse("EOVERFLOW");
    if (!this.#isMappable(iova, last)) refuse("EINVAL");
    if (this.#isMapped({ start: iova, last })) refuse("EEXIST");
    if (address % this.alignment !== 0n) refuse("EINVAL");
    const area: IoArea = {
      iova,
      last,
      process,
      address,
      ...file && { file },
      charge: { pins: 0, bytes: 0 },
      readable: (flags & IOMMU_IOAS_MAP_READABLE) !== 0,
      writable: (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0,
      pinned: undefined,
    };
    if (this.#tables > 0) pin(area, this.#account);
    this.map.add(area);
    return iova;
  }

  /**
   * Does IOMMU_IOAS_COPY, with valid flags, and returns the IOVA: whole or parts
   * of mappings that follow each other (`iopt_get_pages()`).
   */
  copyFrom(source: Ioas, request: IoasCopyRequest): bigint {
    const { flags, length, src_iova } = request;
    if (length === 0n) refuse("EINVAL");
    const last = src_iova + length - 1n;
    if (last > LAST) refuse("EOVERFLOW");
    const found = source.map.within(src_iova, last);
    let at = src_iova;
    for (const area of found) {
      if (area.iova > at) refuse("ENOENT");
      at = area.last + 1n;
    }
    if (at <= last) refuse("ENOENT");
    const writes = (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0;
    const fixed = (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
    const iova = fixed ? request.dst_iova : this.#find(0n, length);
    if (iova % this.alignment !== 0n || length % this.alignment !== 0n) {
      refuse("EINVAL");
    }
    if (!this.#isMappable(iova, iova + length - 1n)) refuse("EINVAL");
    if (this.#isMapped({ start: iova, last: iova + length - 1n })) {
      refuse("EEXIST");
    }
    if (writes && found.some(({ writable }) => !writable)) refuse("EPERM");
    const copies = found.map((area): IoArea => {
      const from = area.iova > src_iova ? area.iova : src_iova;
      const to = min(area.last, last);
      return {
        ...area,
        iova: iova + (from - src_iova),
        last: iova + (to - src_iova),
        address: area.address + (from - area.iova),
        readable: (flags & IOMMU_IOAS_MAP_READABLE) !== 0,
        writable: writes,
        pinned: undefined,
      };
    });
    if (this.#tables > 0) pinAll(copies, this.#account);
    for (const copy of copies) this.map.add(copy);
    return iova;
  }

  /** Does IOMMU_IOAS_UNMAP, and returns the number of bytes unmapped. */
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
      // The mappings before it stay unmapped.
      if (area.iova < iova || area.last > last) refuse("ENOENT");
      unmapped += this.#remove(area);
    }
    return unmapped === 0n ? refuse("ENOENT") : unmapped;
  }

  /**
   * Returns where memory is, and how much of it is contiguous, at most `length`
   * bytes (`iopt_get_phys()`). EOPNOTSUPP where the first page table to have the
   * mapping is one that the IOMMU uses.
   */
  locate(iova: bigint, length: bigint): { address: bigint; length: bigint } {
    const [area] = this.map.within(iova, iova);
    if (area === undefined) return refuse("ENOENT");
    if (this.#tables === 0 || this.#translating > 0) refuse("EOPNOTSUPP");
    const { pages, start } = area.pinned!;
    const located = this.#machine.physical
      .locate(pages, start + Number(iova - area.iova));
    const most = min(length, area.last - iova + 1n);
    return {
      address: located.address,
      length: min(BigInt(located.length), most),
    };
  }

  /** Unmaps everything, and returns the number of bytes unmapped. */
  unmapAll(): bigint {
    return [...this.map.areas]
      .reduce((unmapped, area) => unmapped + this.#remove(area), 0n);
  }

  /** The windows that cannot be mapped, ascending. */
  get #reserved(): readonly IovaWindow[] {
    const windows = this.#devices.size === 0
      ? []
      : this.#machine.iommu!.reserved;
    return this.#translating === 0
      ? windows
      : [...windows, this.#untranslatable];
  }

  /** The IOVAs with more address bits than the IOMMU has. */
  get #untranslatable(): IovaWindow {
    return { start: this.#machine.iommu!.last + 1n, last: LAST };
  }

  #isMappable(iova: bigint, last: bigint): boolean {
    const range = { start: iova, last };
    return !this.#reserved.some((window) => overlap(window, range));
  }

  /** Whether something is mapped in a window, or may come to be. */
  #isTaken(window: IovaWindow): boolean {
    return this.#isMapped(window) ||
      this.#allowed.some((allowed) => overlap(allowed, window));
  }

  #isMapped({ start, last }: IovaWindow): boolean {
    return this.map.within(start, last).length > 0;
  }

  /**
   * Finds room for a mapping, aligned as its memory is (`iopt_alloc_iova()`).
   */
  #find(address: bigint, length: bigint): bigint {
    if (length >= LAST / 2n) refuse("EOVERFLOW");
    let alignment = 1n;
    while (alignment < length && alignment < HUGE_PAGE) alignment *= 2n;
    if (address !== 0n) alignment = min(alignment, address & -address);
    if (alignment < this.alignment) refuse("EINVAL");
    // The search never returns 0, though 0 is valid.
    const everywhere = { start: PAGE, last: LAST - PAGE };
    const windows = this.#allowed.length === 0 ? [everywhere] : this.#allowed;
    for (const { start, last } of windows) {
      const from = start < everywhere.start ? everywhere.start : start;
      const end = min(last, everywhere.last);
      const found = this.#findIn(from, end, address, length, alignment);
      if (found !== undefined) return found;
    }
    return refuse("ENOSPC");
  }

  #findIn(
    from: bigint,
    end: bigint,
    address: bigint,
    length: bigint,
    alignment: bigint,
  ): bigint | undefined {
    while (from < end) {
      const aligned = (from + alignment - 1n) / alignment * alignment;
      const start = aligned | address % PAGE;
      const last = start + length - 1n;
      if (last > end) break;
      const obstacle = this.map.within(from, last).at(-1) ??
        this.#reserved.find((window) =>
          window.start <= last && from <= window.last
        );
      if (obstacle === undefined) return start;
      from = obstacle.last + 1n;
    }
    return undefined;
  }

  /** Does IOMMU_IOAS_ALLOW_IOVAS. EADDRINUSE where one is reserved. */
  allow(allowed: readonly IovaWindow[]): void {
    const sorted = allowed.toSorted((a, b) => a.start < b.start ? -1 : 1);
    const reserved = this.#reserved;
    if (sorted.some((one) => reserved.some((other) => overlap(one, other)))) {
      refuse("EADDRINUSE");
    }
    this.#allowed = sorted;
  }

  /** Whether page tables may have large pages. */
  get hugePages(): boolean {
    return this.#hugePages;
  }

  /** EINVAL while it has a page table and mappings. */
  set hugePages(allowed: boolean) {
    const { areas } = this.map;
    if (!allowed && this.#hugePages) {
      if (this.#tables > 0 && areas.length > 0) refuse("EINVAL");
      this.#assertAligned();
    }
    this.#hugePages = allowed;
  }

  /** Counts what is pinned as another process's. */
  takeOver(process: Process): void {
    for (const area of this.map.areas) {
      // What root maps is not counted, and its count stays where it is.
      const counted = area.pinned !== undefined && area.process.uid !== 0;
      if (counted) unpin(area, this.#account);
      area.process = process;
      if (counted) pin(area, this.#account);
    }
  }

  #assertAligned(): void {
    for (const { iova, last, address } of this.map.areas) {
      if ((iova | last + 1n | address) % PAGE !== 0n) refuse("EADDRINUSE");
    }
  }

  #remove(area: IoArea): bigint {
    unpin(area, this.#account);
    this.map.remove(area);
    return area.last - area.iova + 1n;
  }
}

function overlap(a: IovaWindow, b: IovaWindow): boolean {
  return a.start <= b.last && b.start <= a.last;
}
