import type { Device, Domain, Group } from "./bus.ts";
import type { IoMap } from "./io_map.ts";
import type { Ioas } from "./ioas.ts";
import { refuse } from "./refusal.ts";

/**
 * An IOMMU's page table with what is mapped in an IO address space
 * (`drivers/iommu/iommufd/hw_pagetable.c`, `device.c`): iommufd makes one for
 * the first device that is attached to the space.
 */
export class PageTable implements Domain {
  /** The address space. */
  readonly ioas: Ioas;
  readonly #groups = new Set<Group>();

  /**
   * A page table that no device has.
   *
   * @param ioas The address space.
   */
  constructor(ioas: Ioas) {
    this.ioas = ioas;
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

  /** Whether a device has it. */
  get inUse(): boolean {
    return this.#groups.size > 0;
  }

  /** Attaches a device: EINVAL where its group has another page table. */
  attach(device: Device): void {
    const group = device.group!;
    if (group.domain !== undefined && group.domain !== this) refuse("EINVAL");
    this.ioas.reserve(device);
    group.domain = this;
    group.attached.add(device);
    this.#groups.add(group);
  }

  /** Takes over a group with all its devices. */
  replace(from: PageTable, group: Group): void {
    // All have the windows of the one IOMMU, so the first is refused or none.
    for (const device of group.attached) this.ioas.reserve(device);
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
}
