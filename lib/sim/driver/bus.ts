/**
 * Devices, their drivers and their IOMMU groups, and who may have a group's DMA
 * (`drivers/iommu/iommu.c`).
 *
 * @module
 */

import { Lock, type Steps } from "../process/blocking.ts";
import type { IoMap } from "../iommu/io_map.ts";
import type { ReservedRegion } from "../iommu/iommu.ts";
import type { PciCore } from "../pci/core.ts";
import { refuse } from "../process/refusal.ts";
import type { VfioDevice } from "../vfio/device.ts";

/** A driver. */
export interface Driver {
  /** Its name, as the directory in sysfs has it. */
  readonly name: string;
  /** The bus it is for. */
  readonly bus: string;
  /** What it takes by itself: `"8086:10d3"`, or `"class:010802"`. */
  readonly ids: ReadonlySet<string>;
  /**
   * Who does DMA with its devices: the kernel, user space (a VFIO driver), or
   * nobody (`driver_managed_dma`, as `pcieport` and `pci-stub`).
   */
  readonly dma: "kernel" | "user" | "none";
  /**
   * What becomes of a device's virtual functions when it goes: it removes them,
   * or leaves them behind. Where it makes none, `undefined`.
   */
  readonly virtualFunctions: "removed" | "kept" | undefined;
  /** Whether it has the files `bind` and `unbind`. */
  readonly bindable: boolean;
}

/** Who has claimed a group's DMA for user space: a container or an iommufd. */
export type DmaOwner = object;

/**
 * Who made a group: the IOMMU; or VFIO, for a device that no IOMMU isolates, or
 * for one whose parent does its DMA.
 */
export type GroupKind = "iommu" | "noiommu" | "emulated";

/** What a group's devices see. */
export interface Domain {
  /** What is mapped. */
  readonly map: IoMap;
}

/** An IOMMU group. */
export class Group {
  /** Its number. */
  readonly id: string;
  /** Who made it. */
  readonly kind: GroupKind;
  /** Its members. */
  readonly devices = new Set<Device>();
  /** Its node, while a member is bound to a VFIO driver. */
  node: GroupNode | undefined;
  /** What its devices see: nothing while no user space has attached it. */
  domain: Domain | undefined;
  /** Those of its devices that are attached to a page table of an iommufd. */
  readonly attached = new Set<Device>();
  #owner: DmaOwner | undefined;
  #claims = 0;

  /**
   * An empty group.
   *
   * @param id Its number.
   * @param kind Who made it.
   */
  constructor(id: string, kind: GroupKind = "iommu") {
    this.id = id;
    this.kind = kind;
  }

  /** Whether VFIO made it for a device that no IOMMU isolates. */
  get noIommu(): boolean {
    return this.kind === "noiommu";
  }

  /** Whether a kernel driver or user space has its DMA. */
  get claimed(): boolean {
    return this.#owner !== undefined || this.kernelOwned;
  }

  /** Whether a member's driver does DMA for the kernel. */
  get kernelOwned(): boolean {
    return [...this.devices].some(({ driver }) => driver?.dma === "kernel");
  }

  /** What the firmware keeps mapped for its members. */
  get reserved(): readonly ReservedRegion[] {
    return [...this.devices].flatMap(({ reserved }) => reserved);
  }

  /**
   * Whether the firmware keeps memory mapped for a member, so that it can be
   * given nothing else.
   */
  get pinned(): boolean {
    return this.reserved.some(({ type }) => type === "direct");
  }

  /** Whether user space has its DMA. */
  get userOwned(): boolean {
    return this.#owner !== undefined;
  }

  /**
   * Claims its DMA for user space; EPERM where somebody else has it.
   *
   * @param owner Who has it then.
   * @param blocked Whether it is blocked until they give it something, as since
   * Linux 6.6: EINVAL where the firmware keeps memory mapped
   * (`__iommu_device_set_domain()`).
   */
  claim(owner: DmaOwner, blocked: boolean): void {
    if (this.kernelOwned) refuse("EPERM");
    if (this.#owner !== undefined && this.#owner !== owner) refuse("EPERM");
    if (blocked && this.pinned) refuse("EINVAL");
    this.#owner = owner;
    this.#claims++;
  }

  /** Gives back one claim. */
  release(): void {
    if (--this.#claims === 0) this.#owner = undefined;
  }
}

/** A group's node in `/dev/vfio`. */
export interface GroupNode {
  /** Its minor number. */
  readonly minor: number;
  /** The members that are bound to VFIO drivers. */
  readonly devices: Set<Device>;
  /** Who has it open; called when the node goes. */
  holder: { revoked(): void } | undefined;
  /** How many of the members are bound to an iommufd. */
  bound: number;
}

/** A device on some bus. */
export abstract class Device {
  /** Its name; for a PCI function its address. */
  readonly name: string;
  /** The bus it is on. */
  readonly bus: string;
  /** Its real path in sysfs. */
  readonly path: string;
  /** What drivers match it by: `"8086:10d3"`. */
  readonly ids: readonly string[];
  /** Held by whoever changes its driver: `device_lock()`. */
  readonly lock = new Lock();
  #core: PciCore | undefined;
  /** The group it is in. */
  group: Group | undefined;
  /** The driver it is bound to. */
  driver: Driver | undefined;
  /** Whether the driver lets go of it just now. */
  unbinding = false;
  /** Whether it was taken from the machine. */
  removed = false;
  /** The only driver that may bind it. */
  override: string | undefined;
  /** How the kernel can reset it, the preferred first. */
  resets: readonly string[] = [];
  /** What the firmware keeps mapped for it. */
  readonly reserved: readonly ReservedRegion[] = [];
  /** What VFIO made of it, while it is bound to a VFIO driver. */
  vfio: VfioDevice | undefined;

  /**
   * A device that no driver has.
   *
   * @param name Its name.
   * @param bus The bus it is on.
   * @param path Its real path in sysfs.
   * @param ids What drivers match it by.
   */
  constructor(
    name: string,
    bus: string,
    path: string,
    ids: readonly string[],
  ) {
    this.name = name;
    this.bus = bus;
    this.path = path;
    this.ids = ids;
  }

  /** Its registers and interrupts, made when they are first looked at. */
  get core(): PciCore {
    return this.#core ??= this.createCore();
  }

  /** Makes its registers and interrupts. */
  protected abstract createCore(): PciCore;

  /** Whether a driver may bind it: by its override, else by its ids. */
  matches(driver: Driver): boolean {
    if (driver.bus !== this.bus) return false;
    return this.override === undefined
      ? this.ids.some((id) => driver.ids.has(id))
      : driver.name === this.override;
  }

  /** What the bus has to say before a driver gets it: a refusal, or nothing. */
  assertTakable(_driver: Driver): void {}

  /**
   * What a driver does first when it lets go; without one, the device is taken
   * from the machine.
   */
  *abandoned(_driver?: Driver): Steps<void> {}

  /** What a driver does last as it has it, or has let go of it. */
  settled(_driver: Driver, _bound: boolean): void {}
}
