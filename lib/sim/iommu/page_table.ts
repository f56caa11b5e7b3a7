import type { Device, Group } from "../driver/bus.ts";
import type { Domain } from "./domain.ts";
import type { IoMap } from "./io_map.ts";
import type { Ioas } from "./ioas.ts";
import type { TableLog } from "./table_log.ts";
import { refuse } from "../process/refusal.ts";

/**
 * A page table with the mappings of an IO address space
 * (`drivers/iommu/iommufd/hw_pagetable.c`, `device.c`). iommufd makes one for
 * the first device that is attached to the space. For the first device that no
 * IOMMU isolates it makes one that translates nothing (`hwpt_noiommu.c`).
 */
export class PageTable implements Domain {
  /** The address space. */
  readonly ioas: Ioas;
  /** Whether the IOMMU uses it. */
  readonly translates: boolean;
  /** Whether the kernel has made it, and destroys it, by itself. */
  readonly automatic: boolean;
  /** The log of what devices write, if it has one. */
  readonly dirty: TableLog | undefined;
  readonly #groups = new Set<Group>();

  /**
   * Makes a page table without devices.
   *
   * @param ioas The address space.
   * @param translates Whether the IOMMU uses it.
   * @param dirty Its log, if somebody has made it with one.
   * @param automatic Whether the kernel makes it by itself.
   */
  constructor(
    ioas: Ioas,
    translates: boolean,
    dirty?: TableLog,
    automatic = true,
  ) {
    this.ioas = ioas;
    this.translates = translates;
    this.dirty = dirty;
    this.automatic = automatic;
  }

  /** Notes a write of a device. */
  wrote(iova: bigint, length: number): void {
    this.dirty?.note(iova, length);
  }

  /** Returns the page table that a device is attached to. */
  static of(device: Device): PageTable | undefined {
    const { group } = device;
    return group?.attached.has(device) && group.domain instanceof PageTable
      ? group.domain
      : undefined;
  }

  get map(): IoMap {
    return this.ioas.map;
  }

  /** Whether a group can use it. A group without an IOMMU can use any. */
  serves({ noIommu }: Group): boolean {
    return this.translates || noIommu;
  }

  /** Whether a device is attached to it. */
  get inUse(): boolean {
    return this.#groups.size > 0;
  }

  /**
   * Attaches a device. EINVAL where its group has another page table, or needs
   * one that the IOMMU uses.
   */
  attach(device: Device): void {
    const group = device.group!;
    if (group.domain !== undefined && group.domain !== this) refuse("EINVAL");
    this.#reserve(device);
    if (!this.serves(group)) {
      this.ioas.unreserve(device);
      refuse("EINVAL");
    }
    group.domain = this;
    group.attached.add(device);
    this.#groups.add(group);
  }

  /** Takes a group with all its devices over from another page table. */
  replace(from: PageTable, group: Group): void {
    // All devices have the windows of the same IOMMU: either the first one is
    // refused or none.
    for (const device of group.attached) this.#reserve(device);
    if (!this.serves(group)) {
      for (const device of group.attached) this.ioas.unreserve(device);
      refuse("EINVAL");
    }
    for (const device of group.attached) from.ioas.unreserve(device);
    from.#groups.delete(group);
    group.domain = this;
    this.#groups.add(group);
  }

  /** Detaches a device. */
  detach(device: Device): void {
    const group = device.group!;
    this.ioas.unreserve(device);
    group.attached.delete(device);
    if (group.attached.size > 0) return;
    group.domain = undefined;
    this.#groups.delete(group);
  }

  /** Reserves a device's windows. A device that no IOMMU isolates has none. */
  #reserve(device: Device): void {
    if (!device.group!.noIommu) this.ioas.reserve(device);
  }
}
