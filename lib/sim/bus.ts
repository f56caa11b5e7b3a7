/**
 * Devices, their drivers and their IOMMU groups, and the kernel's rules for who
 * may have whom (`drivers/base/dd.c`, `drivers/iommu/iommu.c`).
 *
 * @module
 */

import type { IoMap } from "./io_map.ts";
import { refuse } from "./refusal.ts";
import type { PciCore } from "./pci_core.ts";
import type { VfioDevice } from "./vfio_device.ts";

/** A driver. */
export interface Driver {
  /** Its name, as the directory in sysfs has it. */
  readonly name: string;
  /** The bus it is for. */
  readonly bus: string;
  /** The devices that it takes by itself: `"8086:10d3"`. */
  readonly ids: ReadonlySet<string>;
  /**
   * Who does DMA with its devices: the kernel, user space (a VFIO driver), or
   * nobody (`driver_managed_dma`, as `pcieport` and `pci-stub`).
   */
  readonly dma: "kernel" | "user" | "none";
}

/** Who has claimed a group's DMA for user space: a container or an iommufd. */
export type DmaOwner = object;

/** An IOMMU group. */
export class Group {
  /** Its number. */
  readonly id: string;
  /** Whether VFIO made it for a device that no IOMMU isolates. */
  readonly noIommu: boolean;
  /** Its members. */
  readonly devices = new Set<Device>();
  /** What its devices see: nothing while no user space has attached it. */
  domain: IoMap | undefined;
  /** Whether its node is open. */
  opened = false;
  /** How many of its devices are bound to an iommufd. */
  bound = 0;
  /** How many of its devices are attached to an IO address space. */
  attached = 0;
  #owner: DmaOwner | undefined;
  #claims = 0;

  /**
   * An empty group.
   *
   * @param id Its number.
   * @param noIommu Whether VFIO made it for a device without an IOMMU.
   */
  constructor(id: string, noIommu = false) {
    this.id = id;
    this.noIommu = noIommu;
  }

  /** Whether a kernel driver or user space has its DMA. */
  get claimed(): boolean {
    return this.#owner !== undefined || this.kernelOwned;
  }

  /** Whether a member's driver does DMA for the kernel. */
  get kernelOwned(): boolean {
    return [...this.devices].some(({ driver }) => driver?.dma === "kernel");
  }

  /** Whether user space has its DMA. */
  get userOwned(): boolean {
    return this.#owner !== undefined;
  }

  /** Claims its DMA for user space; EBUSY where somebody else has it. */
  claim(owner: DmaOwner): void {
    if (this.kernelOwned) refuse("EBUSY");
    if (this.#owner !== undefined && this.#owner !== owner) refuse("EBUSY");
    this.#owner = owner;
    this.#claims++;
  }

  /** Gives back one claim. */
  release(): void {
    if (--this.#claims === 0) this.#owner = undefined;
  }
}

/** A device on some bus. */
export class Device {
  /** Its name; for a PCI function its address. */
  readonly name: string;
  /** The bus it is on. */
  readonly bus: string;
  /** Its real path in sysfs. */
  readonly path: string;
  /** What drivers match it by: `"8086:10d3"`. */
  readonly id: string;
  readonly #createCore: (device: Device) => PciCore;
  #core: PciCore | undefined;
  /** The group it is in. */
  group: Group | undefined;
  /** The driver it is bound to. */
  driver: Driver | undefined;
  /** The only driver that may bind it. */
  override: string | undefined;
  /** Whether it is a bridge, which VFIO does not take. */
  readonly isBridge: boolean = false;
  /** How the kernel can reset it, the preferred first. */
  resets: readonly string[] = [];
  /** What VFIO made of it, while it is bound to a VFIO driver. */
  vfio: VfioDevice | undefined;

  /**
   * A device that no driver has.
   *
   * @param name Its name.
   * @param bus The bus it is on.
   * @param path Its real path in sysfs.
   * @param id What drivers match it by.
   * @param createCore Makes its registers and interrupts.
   */
  constructor(
    name: string,
    bus: string,
    path: string,
    id: string,
    createCore: (device: Device) => PciCore,
  ) {
    this.name = name;
    this.bus = bus;
    this.path = path;
    this.id = id;
    this.#createCore = createCore;
  }

  /** Its registers and interrupts, made when they are first looked at. */
  get core(): PciCore {
    return this.#core ??= this.#createCore(this);
  }

  /** Whether a driver may bind it: by its override, else by its ids. */
  matches(driver: Driver): boolean {
    if (driver.bus !== this.bus) return false;
    return this.override === undefined
      ? driver.ids.has(this.id)
      : driver.name === this.override;
  }
}
