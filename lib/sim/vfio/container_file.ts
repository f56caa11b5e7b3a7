/**
 * Simulates `/dev/vfio/vfio`: a container and its IOMMU driver
 * (`drivers/vfio/container.c`, `drivers/vfio/vfio_iommu_type1.c`).
 *
 * @module
 */

import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_GET_API_VERSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from "../../uapi/vfio/all.ts";
import type { Group } from "../driver/bus.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { refuse } from "../process/refusal.ts";
import { Type1 } from "../iommu/type1.ts";

/**
 * The extensions that type 1 confirms to VFIO_CHECK_EXTENSION, even before it
 * is set.
 */
const TYPE1_EXTENSIONS: ReadonlySet<number> = new Set([
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
]);

/** Groups that share one IOVA space. */
export class ContainerFile implements OpenFile {
  readonly linkText = "/dev/vfio/vfio";
  readonly #machine: Machine;
  readonly #groups = new Set<Group>();
  #driver: Type1 | "noiommu" | undefined;

  /**
   * Makes a container without groups.
   *
   * @param machine The machine it is on.
   */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Whether its IOMMU driver is set, so that its groups can be used. */
  get ready(): boolean {
    return this.#driver !== undefined;
  }

  /** Adds a group. */
  attach(group: Group, process: Process): void {
    if (group.noIommu && process.uid !== 0) refuse("EPERM");
    const [present] = this.#groups;
    if (present !== undefined && present.noIommu !== group.noIommu) {
      refuse("EPERM");
    }
    if (group.kind === "iommu") {
      group.claim(group, this.#machine.blocksClaimed);
    }
    if (this.#driver instanceof Type1) {
      try {
        this.#driver.attach(group);
      } catch (error) {
        if (group.kind === "iommu") group.release();
        throw error;
      }
    }
    this.#groups.add(group);
  }

  /** Removes a group. Without groups it has no IOMMU driver either. */
  detach(group: Group): void {
    this.#groups.delete(group);
    if (this.#driver instanceof Type1) this.#driver.detach(group);
    if (group.kind === "iommu") group.release();
    if (this.#groups.size > 0) return;
    if (this.#driver instanceof Type1) this.#driver.unmapAll();
    this.#driver = undefined;
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    switch (operation.request) {
      case VFIO_GET_API_VERSION.request:
        return VFIO_API_VERSION;
      case VFIO_CHECK_EXTENSION.request:
        return this.#hasExtension(Number(argument)) ? 1 : 0;
      case VFIO_SET_IOMMU.request:
        this.#setIommu(Number(argument));
        return 0;
    }
    if (this.#driver === undefined) refuse("EINVAL");
    if (this.#driver === "noiommu") refuse("ENOTTY");
    return this.#driver.ioctl(operation, argument, process);
  }

  close(): void {
    // Each of its groups keeps it open, so there are none by now.
  }

  #hasExtension(extension: number): boolean {
    const [group] = this.#groups;
    const noIommu = extension === VFIO_NOIOMMU_IOMMU;
    if (this.#driver === "noiommu") return noIommu;
    if (this.#driver !== undefined) {
      return TYPE1_EXTENSIONS.has(extension) ||
        extension === VFIO_UPDATE_VADDR && this.#driver.updatesAddresses ||
        extension === VFIO_DMA_CC_IOMMU && this.#driver.forcesCoherency;
    }
    const mayNoIommu = this.#machine.features.noIommu &&
      (group === undefined || group.noIommu);
    const mayType1 = group === undefined || !group.noIommu;
    return (noIommu && mayNoIommu) ||
      (mayType1 && TYPE1_EXTENSIONS.has(extension));
  }

  #setIommu(type: number): void {
    if (this.#groups.size === 0 || this.#driver !== undefined) refuse("EINVAL");
    const [group] = this.#groups;
    if (group!.noIommu) {
      if (type !== VFIO_NOIOMMU_IOMMU) refuse("ENODEV");
      this.#driver = "noiommu";
      return;
    }
    if (!TYPE1_EXTENSIONS.has(type)) refuse("ENODEV");
    // The `open` of type 1 accepts only the two types.
    if (type === VFIO_UNMAP_ALL) refuse("EINVAL");
    const version = type === VFIO_TYPE1v2_IOMMU ? 2 : 1;
    const driver = new Type1(this.#machine, version);
    const attached: Group[] = [];
    try {
      for (const each of this.#groups) {
        driver.attach(each);
        attached.push(each);
      }
    } catch (error) {
      for (const each of attached) driver.detach(each);
      throw error;
    }
    this.#driver = driver;
  }
}
