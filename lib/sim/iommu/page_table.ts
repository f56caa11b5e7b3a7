import type { Device, Domain, Group } from "../driver/bus.ts";
import type { IoMap } from "./io_map.ts";
import type { Ioas } from "./ioas.ts";
import { refuse } from "../process/refusal.ts";

/**
 * An IOMMU's page table with what is mapped in an IO address space
 * (`drivers/iommu/iommufd/hw_pagetable.c`, `device.c`): iommufd makes one for
 * the first device that is attached to the space, and one that nothing
 * translates by for the first that no IOMMU isolates (`hwpt_noiommu.c`).
 */
export class PageTable implements Domain {
  /** The address space. */
  readonly ioas: Ioas;
  /** Whether the IOMMU translates by it. */
  readonly translates: boolean;
  readonly #groups = new Set<Group>();

  /**
   * A page table that no device has.
   *
   * @param ioas The address space.
   * @param translates Whether the IOMMU translates by it.
   */
  constructor(ioas: Ioas, translates: boolean) {
    this.ioas = ioas;
    this.translates = translates;
  }

  /** The one that a device is attached to. */
  static of(device: Device): PageTable | undefined {
    const { group } = device;
    return group?.attached.has(device) && group.domain instanceof PageTable
      ? group.domain
      : undefined;
  }

  get map(): IoMap {
    return this.ioas.map;
  }

  /** Whether a group can have it: any, where nothing translates for that. */
  serves({ noIommu }: Group): boolean {
    return this.translates || noIommu;
  }

  /** Whether a device has it. */
  get inUse(): boolean {
    return this.#groups.size > 0;
  }

  /**
   * Attaches a device: EINVAL where its group has another page table, and
   * where it needs one that the IOMMU translates by.
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

  /** Takes over a group with all its devices. */
  replace(from: PageTable, group: Group): void {
    // All have the windows of the one IOMMU, so the first is refused or none.
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

  /** What no IOMMU isolates has no windows. */
  #reserve(device: Device): void {
    if (!device.group!.noIommu) this.ioas.reserve(device);
  }
}
