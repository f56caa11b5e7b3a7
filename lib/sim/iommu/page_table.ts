import type { Device, Group } from "../driver/bus.ts";
import { DirtyPages } from "./dirty_pages.ts";
import type { Domain } from "./domain.ts";
import type { IoMap } from "./io_map.ts";
import type { Ioas } from "./ioas.ts";
import type { FaultQueue } from "./queue_calls.ts";
import { refuse } from "../process/refusal.ts";

/** How a page table was asked for. */
export interface PageTableRequest {
  /** Whether it logs which pages devices write. */
  readonly tracks: boolean;
  /** What gets the page requests of its devices. */
  readonly faults: FaultQueue | undefined;
  /**
   * Whether its driver takes only devices with page requests for that, as
   * Intel's does, and AMD's does not.
   */
  readonly needsRequests: boolean;
}

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
  /** Whether it was made for a device, and goes with its last one. */
  readonly automatic: boolean;
  /** What it logs of the pages that devices write, where it can. */
  readonly dirty: { on: boolean; readonly pages: DirtyPages } | undefined;
  /** What gets the page requests of its devices. */
  readonly faults: FaultQueue | undefined;
  readonly #needsRequests: boolean;
  readonly #groups = new Set<Group>();

  /**
   * Makes a page table without devices.
   *
   * @param ioas The address space.
   * @param translates Whether the IOMMU uses it.
   * @param made How it was asked for; `undefined` where it was not.
   */
  constructor(
    ioas: Ioas,
    translates: boolean,
    made?: PageTableRequest,
  ) {
    this.faults = made?.faults;
    this.#needsRequests = made?.needsRequests ?? false;
    this.automatic = made === undefined;
    this.dirty = made?.tracks
      ? { on: false, pages: new DirtyPages() }
      : undefined;
    this.ioas = ioas;
    this.translates = translates;
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

  wrote(iova: bigint, length: number): void {
    if (this.dirty?.on) this.dirty.pages.note(iova, length);
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
    this.#assertRequests();
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

  // No device of the simulation has page requests.
  #assertRequests(): void {
    if (this.faults !== undefined && this.#needsRequests) refuse("ENODEV");
  }

  /** Takes a group with all its devices over from another page table. */
  replace(from: PageTable, group: Group): void {
    this.#assertRequests();
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
