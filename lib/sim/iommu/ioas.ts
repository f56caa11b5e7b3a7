import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from "../../uapi/iommufd/all.ts";
import type { Device } from "../driver/bus.ts";
import type { Process } from "../fs/file.ts";
import { type IoArea, IoMap } from "./io_map.ts";
import type { IovaWindow } from "./iommu.ts";
import type { Machine } from "../machine/machine.ts";
import { type Account, pin, pinAll, unpin, unpinAll } from "./pinning.ts";
import { refuse } from "../process/refusal.ts";

const LAST = 0xffff_ffff_ffff_ffffn;
const PAGE = 4096n;
/** What a found IOVA is aligned to at the most: a huge page. */
const HUGE_PAGE = 1n << 21n;

/** What is asked of IOMMU_IOAS_MAP, but for the IOAS. */
export interface IoasMapRequest {
  /** `IOMMU_IOAS_MAP_*`. */
  readonly flags: number;
  /** The memory. */
  readonly user_va: bigint;
  /** Its length in bytes. */
  readonly length: bigint;
  /** Where, if that is fixed. */
  readonly iova: bigint;
}

/**
 * An IO address space (`drivers/iommu/iommufd/io_pagetable.c`).
 *
 * Memory is pinned while a page table has what is mapped; until then nobody
 * looks whether it is there. Devices bring reserved windows, and page tables
 * bring what the IOMMU cannot do.
 */
export class Ioas {
  /** What is mapped. */
  readonly map = new IoMap();
  readonly #machine: Machine;
  readonly #account: Account;
  /** The devices whose reserved windows hold. */
  readonly #devices = new Set<Device>();
  #tables = 0;
  /** Those of them that the IOMMU translates by. */
  #translating = 0;
  /** Mediated devices, which need no page table. */
  #accesses = 0;

  /**
   * An empty IO address space.
   *
   * @param machine The machine it is on.
   */
  constructor(machine: Machine) {
    this.#machine = machine;
    this.#account = userAccount(machine);
  }

  /** What can be mapped, ascending: everything, where nothing restricts it. */
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

  /** What IOVAs are multiples of: any byte, until a device is attached. */
  get alignment(): bigint {
    return this.inUse ? PAGE : 1n;
  }

  /** Whether a device is attached, so that it cannot be destroyed. */
  get inUse(): boolean {
    return this.#tables + this.#accesses > 0;
  }

  /** A device's windows are left out: EADDRINUSE where one is mapped. */
  reserve(device: Device): void {
    const { reserved } = this.#machine.iommu!;
    if (reserved.some((window) => this.#isMapped(window))) {
      refuse("EADDRINUSE");
    }
    this.#machine.assertAttachable(device.group!);
    this.#devices.add(device);
  }

  /** Undoes {@linkcode Ioas.reserve}. */
  unreserve(device: Device): void {
    this.#devices.delete(device);
  }

  /**
   * A page table gets what is mapped: EADDRINUSE where it cannot have it.
   *
   * @param translates Whether the IOMMU translates by it.
   */
  addTable(translates: boolean): void {
    if (this.#tables === 0) this.#assertAligned();
    if (translates && this.#translating === 0 && this.#isMapped(this.#beyond)) {
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

  /** A mediated device gets what is mapped: EADDRINUSE as for a page table. */
  addAccess(): void {
    this.#assertAligned();
    this.#accesses++;
  }

  /** Undoes {@linkcode Ioas.addAccess}. */
  removeAccess(): void {
    this.#accesses--;
  }

  /** IOMMU_IOAS_MAP, where its flags are valid; gives the IOVA. */
  mapUser(request: IoasMapRequest, process: Process): bigint {
    const { flags, user_va: address, length } = request;
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
      readable: (flags & IOMMU_IOAS_MAP_READABLE) !== 0,
      writable: (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0,
      pinned: undefined,
    };
    if (this.#tables > 0) pin(area, this.#account);
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
      // Those before it stay unmapped.
      if (area.iova < iova || area.last > last) refuse("ENOENT");
      unmapped += this.#remove(area);
    }
    return unmapped === 0n ? refuse("ENOENT") : unmapped;
  }

  /** Unmaps everything; gives the bytes that were unmapped. */
  unmapAll(): bigint {
    return [...this.map.areas]
      .reduce((unmapped, area) => unmapped + this.#remove(area), 0n);
  }

  /** The windows that cannot be mapped, ascending. */
  get #reserved(): readonly IovaWindow[] {
    const windows = this.#devices.size === 0
      ? []
      : this.#machine.iommu!.reserved;
    return this.#translating === 0 ? windows : [...windows, this.#beyond];
  }

  /** What has more address bits than the IOMMU. */
  get #beyond(): IovaWindow {
    return { start: this.#machine.iommu!.last + 1n, last: LAST };
  }

  #isMappable(iova: bigint, last: bigint): boolean {
    return !this.#reserved.some((window) =>
      window.start <= last && iova <= window.last
    );
  }

  #isMapped({ start, last }: IovaWindow): boolean {
    return this.map.within(start, last).length > 0;
  }

  /** Room for a mapping, as aligned as its memory is (`iopt_alloc_iova()`). */
  #find(address: bigint, length: bigint): bigint {
    if (length >= LAST / 2n) refuse("EOVERFLOW");
    let alignment = 1n;
    while (alignment < length && alignment < HUGE_PAGE) alignment *= 2n;
    if (address !== 0n) alignment = min(alignment, address & -address);
    if (alignment < this.alignment) refuse("EINVAL");
    // Never 0, though that is valid.
    let from = PAGE;
    const end = LAST - PAGE;
    while (from < end) {
      const aligned = (from + alignment - 1n) / alignment * alignment;
      const start = aligned | address % PAGE;
      const last = start + length - 1n;
      if (last > end) break;
      const taken = this.map.within(from, last).at(-1) ??
        this.#reserved.find((window) =>
          window.start <= last && from <= window.last
        );
      if (taken === undefined) return start;
      from = taken.last + 1n;
    }
    return refuse("ENOSPC");
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

/** Memory is counted by user, unless a process may lock all it wants. */
function userAccount({ pinnedByUser }: Machine): Account {
  const count = (process: Process, bytes: number) => {
    const pinned = (pinnedByUser.get(process.uid) ?? 0) + bytes;
    if (process.uid !== 0 && pinned > process.memlock) refuse("ENOMEM");
    pinnedByUser.set(process.uid, pinned);
    process.pinned += bytes;
  };
  return {
    charge: count,
    refund: (process, bytes) => count(process, -bytes),
    takesRegisters: false,
  };
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
