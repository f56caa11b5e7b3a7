/**
 * The type 1 IOMMU of a container (`drivers/vfio/vfio_iommu_type1.c`).
 *
 * @module
 */

import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  vfio_iommu_type1_info_cap_migration,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info_dma_avail,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iova_range,
} from "../../uapi/vfio/all.ts";
import { answerInfo, put64, received } from "../process/argument.ts";
import type { Group } from "../driver/bus.ts";
import type { Domain } from "./domain.ts";
import type { Process } from "../fs/file.ts";
import type { IovaWindow } from "./iommu.ts";
import { type IoArea, IoMap } from "./io_map.ts";
import type { Machine } from "../machine/machine.ts";
import { type Account, pin, pinAll, unpin, unpinAll } from "./pinning.ts";
import { refuse } from "../process/refusal.ts";
import { MAX_BITMAP, Type1Dirty } from "./type1_dirty.ts";

/** The page sizes where no IOMMU translates: each that is whole pages. */
const UNTRANSLATED = ~0xfffn & (1n << 64n) - 1n;
const PAGE_MASK = 0xfffn;
const LAST = 0xffff_ffff_ffff_ffffn;

const MAP_FLAGS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE |
  VFIO_DMA_MAP_FLAG_VADDR;
const UNMAP_FLAGS = VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR |
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;

/** Counts memory by process. Root has no limit. */
const ACCOUNT: Account = {
  charge(process, bytes) {
    const locked = process.locked + bytes;
    if (process.uid !== 0 && locked > process.memlock) refuse("ENOMEM");
    process.locked = locked;
  },
  refund(process, bytes) {
    process.locked -= bytes;
  },
  takesRegisters: true,
};

/**
 * The mappings of a container. Their memory is pinned while the container has a
 * group whose DMA the IOMMU translates.
 */
export class Type1 implements Domain {
  readonly map = new IoMap();
  readonly #machine: Machine;
  readonly version: 1 | 2;
  readonly #limit: number;
  /** Mappings whose address in the process was invalidated. */
  readonly #unaddressed = new Set<IoArea>();
  readonly #dirty = new Type1Dirty(this);
  #translated = 0;
  /** How many of its groups are those of mediated devices. */
  #emulated = 0;

  /**
   * Makes an empty IOVA space.
   *
   * @param machine The machine it is on.
   * @param version Version 2 refuses an unmap that would split a mapping.
   */
  constructor(machine: Machine, version: 1 | 2) {
    this.#machine = machine;
    this.version = version;
    this.#limit = machine.features.mappingLimit;
  }

  /**
   * Adds a group, which then sees the mappings. EINVAL where the IOMMU cannot
   * translate one of them.
   */
  attach(group: Group): void {
    if (this.#unaddressed.size > 0) this.#waitForAddresses();
    if (group.kind === "emulated") this.#emulated++;
    if (group.kind === "iommu") {
      const { iommu } = this.#machine;
      this.#machine.assertAttachable(group);
      for (const { iova, last } of this.map.areas) {
        if (!iommu!.translates(iova, last)) refuse("EINVAL");
      }
      this.#machine.assertTrusted("vfio_iommu_type1");
      if (this.#translated === 0) pinAll(this.map.areas, ACCOUNT);
      this.#translated++;
    }
    group.domain = this;
  }

  /** Removes a group. */
  detach(group: Group): void {
    group.domain = undefined;
    if (group.kind === "emulated") this.#emulated--;
    if (group.kind !== "iommu") return;
    if (--this.#translated === 0) unpinAll(this.map.areas, ACCOUNT);
    this.#dirty.markAll();
  }

  /** Whether an IOMMU translates for one of its groups. */
  get translates(): boolean {
    return this.#translated > 0;
  }

  /** Whether the IOMMUs of its groups force DMA to be coherent. */
  get forcesCoherency(): boolean {
    return this.#translated > 0 && this.#machine.iommu!.forcesCoherency;
  }

  /** Whether addresses can be updated: not for mediated devices. */
  get updatesAddresses(): boolean {
    return this.#emulated === 0;
  }

  /** The errno for a range that wraps around. */
  get wraps(): string {
    return this.#machine.since(6, 18) ? "EOVERFLOW" : "EINVAL";
  }

  /** Notes a write of a device. */
  wrote(iova: bigint, length: number, translated: boolean): void {
    if (!translated) this.#dirty.note(iova, length);
  }

  // Before Linux 6.3 the attach waits for the addresses.
  #waitForAddresses(): never {
    if (this.#machine.since(6, 3)) refuse("EBUSY");
    throw new Error("A real process would wait here for addresses");
  }

  /** Answers the ioctls of a container whose IOMMU is set. */
  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    switch (operation.request) {
      case VFIO_IOMMU_GET_INFO.request:
        return this.#getInfo(argument);
      case VFIO_IOMMU_MAP_DMA.request:
        return this.#mapDma(argument, process);
      case VFIO_IOMMU_UNMAP_DMA.request:
        return this.#unmapDma(argument, process);
      case VFIO_IOMMU_DIRTY_PAGES.request:
        return this.#dirty.control(argument, process);
      default:
        return refuse("ENOTTY");
    }
  }

  /** Unmaps everything. */
  unmapAll(): void {
    for (const area of [...this.map.areas]) this.#remove(area);
  }

  #getInfo(argument: Uint8Array | bigint): number {
    received(vfio_iommu_type1_info, argument, 16);
    answerInfo(
      argument,
      vfio_iommu_type1_info,
      {
        flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
        iova_pgsizes: this.#translated > 0
          ? this.#machine.iommu!.pageSizes
          : UNTRANSLATED,
      },
      [
        {
          id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
          bytes: vfio_iommu_type1_info_cap_migration.alloc({
            pgsize_bitmap: PAGE_MASK + 1n,
            max_dirty_bitmap_size: MAX_BITMAP,
          }),
        },
        {
          id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
          bytes: vfio_iommu_type1_info_dma_avail.alloc({
            avail: this.#available,
          }),
        },
        ...this.#translated > 0
          ? [{
            id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
            bytes: rangesCapability(this.#machine.iommu!.ranges),
          }]
          : [],
      ],
    );
    return 0;
  }

  #mapDma(argument: Uint8Array | bigint, process: Process): number {
    const { flags, vaddr, iova, size } = received(
      vfio_iommu_type1_dma_map,
      argument,
    );
    if ((flags & ~MAP_FLAGS) !== 0) refuse("EINVAL");
    if (size === 0n) refuse("EINVAL");
    const last = iova + size - 1n;
    if (last > LAST || vaddr + size - 1n > LAST) refuse(this.wraps);
    const access = flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
    const setsAddress = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
    if ((access !== 0) === setsAddress) refuse("EINVAL");
    if (((size | iova | vaddr) & PAGE_MASK) !== 0n) refuse("EINVAL");
    const [present] = this.map.within(iova, last);
    if (setsAddress) {
      return this.#readdress(present, iova, last, vaddr, process);
    }
    if (present !== undefined) refuse("EEXIST");
    if (this.#available === 0) refuse("ENOSPC");
    if (!this.#translates(iova, last)) refuse("EINVAL");
    const area: IoArea = {
      iova,
      last,
      process,
      address: vaddr,
      readable: (flags & VFIO_DMA_MAP_FLAG_READ) !== 0,
      writable: (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0,
      pinned: undefined,
    };
    if (this.#translated > 0) pin(area, ACCOUNT);
    this.map.add(area);
    return 0;
  }

  /**
   * Gives a mapping a new address after its address was invalidated. The pinned
   * memory stays; the process that gives it is charged for it.
   */
  #readdress(
    area: IoArea | undefined,
    iova: bigint,
    last: bigint,
    address: bigint,
    process: Process,
  ): number {
    if (area === undefined) return refuse("ENOENT");
    if (!this.#unaddressed.has(area)) refuse("EINVAL");
    if (area.iova !== iova || area.last !== last) refuse("EINVAL");
    const locked = area.pinned?.length ?? 0;
    if (area.process !== process && locked > 0) {
      ACCOUNT.charge(process, locked);
      ACCOUNT.refund(area.process, locked);
    }
    area.process = process;
    area.address = address;
    this.#unaddressed.delete(area);
    return 0;
  }

  #unmapDma(argument: Uint8Array | bigint, process: Process): number {
    const layout = vfio_iommu_type1_dma_unmap;
    const { flags, iova, size } = received(layout, argument);
    if ((flags & ~UNMAP_FLAGS) !== 0) refuse("EINVAL");
    const unmapsAll = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
    const dropsAddress = (flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0;
    const reads = (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0;
    if (reads && (unmapsAll || dropsAddress)) refuse("EINVAL");
    const dirty = reads ? this.#dirty.unmapped(argument, process) : undefined;
    if (dropsAddress && this.#emulated > 0) refuse("EBUSY");
    if ((iova & PAGE_MASK) !== 0n) refuse("EINVAL");
    if (unmapsAll && (iova !== 0n || size !== 0n)) refuse("EINVAL");
    if (!unmapsAll && (size === 0n || (size & PAGE_MASK) !== 0n)) {
      refuse("EINVAL");
    }
    const last = unmapsAll ? LAST : iova + size - 1n;
    if (last > LAST) refuse(this.wraps);
    if (dirty?.allowed === false) refuse("EINVAL");
    const areas = this.map.within(iova, last);
    const splits = areas.some((area) => area.iova < iova || area.last > last);
    if (splits && this.version === 2) refuse("EINVAL");
    // Version 1 unmaps the whole of a mapping that begins in the range, and
    // nothing where one does not.
    const contained = (areas[0]?.iova ?? iova) < iova ? [] : areas;
    if (dropsAddress) {
      if (contained.some((area) => this.#unaddressed.has(area))) {
        refuse("EINVAL");
      }
      for (const area of contained) this.#unaddressed.add(area);
    } else {
      for (const area of contained) {
        dirty?.report(area);
        this.#remove(area);
      }
    }
    const unmapped = contained.reduce(
      (bytes, area) => bytes + (area.last - area.iova + 1n),
      0n,
    );
    put64(argument, layout.offset.size, unmapped);
    return 0;
  }

  /** How many more mappings are possible. */
  get #available(): number {
    return this.#limit - this.map.areas.length;
  }

  #translates(iova: bigint, last: bigint): boolean {
    return this.#translated === 0 ||
      this.#machine.iommu!.translates(iova, last);
  }

  #remove(area: IoArea): void {
    this.#unaddressed.delete(area);
    this.#dirty.forget(area);
    unpin(area, ACCOUNT);
    this.map.remove(area);
  }
}

function rangesCapability(ranges: readonly IovaWindow[]): Uint8Array {
  const layout = vfio_iommu_type1_info_cap_iova_range;
  const extra = ranges.length * vfio_iova_range.size;
  const bytes = layout.alloc({ nr_iovas: ranges.length }, extra);
  for (const [i, { start, last: end }] of ranges.entries()) {
    const at = layout.offset.iova_ranges + i * vfio_iova_range.size;
    vfio_iova_range.encode(bytes, { start, end }, at);
  }
  return bytes;
}
