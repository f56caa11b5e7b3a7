/**
 * Devices, their drivers and their IOMMU groups, and the ownership of a group's
 * DMA (`drivers/iommu/iommu.c`).
 *
 * @module
 */

import { Lock, type Steps } from "../process/blocking.ts";
import type { Domain } from "../iommu/domain.ts";
import type { ReservedRegion } from "../iommu/iommu.ts";
import type { PciCore } from "../pci/core.ts";
import { refuse } from "../process/refusal.ts";
import type { VfioDevice } from "../vfio/device.ts";

/** A driver. */
export interface Driver {
  /** Its name, which is that of its directory in sysfs. */
  readonly name: string;
  /** The bus of its devices. */
  readonly bus: string;
  /** The ids that it binds by itself: `"8086:10d3"`, or `"class:010802"`. */
  readonly ids: ReadonlySet<string>;
  /**
   * Who does DMA with its devices: the kernel, user space (a VFIO driver), or
   * nobody (`driver_managed_dma`, as `pcieport` and `pci-stub`).
   */
  readonly dma: "kernel" | "user" | "none";
  /**
   * What happens to a device's virtual functions when it is unbound: they are
   * removed or kept. `undefined` for a driver that makes none.
   */
  readonly virtualFunctions: "removed" | "kept" | undefined;
  /** Whether it has the files `bind` and `unbind`. */
  readonly bindable: boolean;
}

/** A module that was loaded. */
export interface LoadedModule {
  /** Its name, as the kernel has it. */
  readonly name: string;
  /** The modules that need it. */
  readonly users: Set<string>;
  /** The driver that it brings, by its bus and name: `"pci/vfio-pci"`. */
  readonly driver?: string;
}

/** The owner of a group's DMA in user space: a container or an iommufd. */
export type DmaOwner = object;

/**
 * The maker of a group: the IOMMU; or VFIO, for a device that no IOMMU isolates
 * (`"noiommu"`) or whose parent does its DMA (`"emulated"`).
 */
export type GroupKind = "iommu" | "noiommu" | "emulated";

/** An IOMMU group. */
export class Group {
  /** Its number. */
  readonly id: string;
  /** Its maker. */
  readonly kind: GroupKind;
  /** Its members. */
  readonly devices = new Set<Device>();
  /** Its node, while a member is bound to a VFIO driver. */
  node: GroupNode | undefined;
  /**
   * The mappings that its devices use; `undefined` while it is not attached.
   */
  domain: Domain | undefined;
  /** Its devices that are attached to a page table of an iommufd. */
  readonly attached = new Set<Device>();
  #owner: DmaOwner | undefined;
  #claims = 0;

  /**
   * Makes an empty group.
   *
   * @param id Its number.
   * @param kind Its maker.
   */
  constructor(id: string, kind: GroupKind = "iommu") {
    this.id = id;
    this.kind = kind;
  }

  /** Whether VFIO made it for a device that no IOMMU isolates. */
  get noIommu(): boolean {
    return this.kind === "noiommu";
  }

  /** Whether a kernel driver or user space owns its DMA. */
  get claimed(): boolean {
    return this.#owner !== undefined || this.kernelOwned;
  }

  /** Whether a member's driver does DMA for the kernel. */
  get kernelOwned(): boolean {
    return [...this.devices].some(({ driver }) => driver?.dma === "kernel");
  }

  /** The memory that the firmware keeps mapped for its members. */
  get reserved(): readonly ReservedRegion[] {
    return [...this.devices].flatMap(({ reserved }) => reserved);
  }

  /**
   * Whether the firmware keeps memory mapped for a member. The group cannot get
   * other mappings then.
   */
  get pinned(): boolean {
    return this.reserved.some(({ type }) => type === "direct");
  }

  /** Whether user space owns its DMA. */
  get userOwned(): boolean {
    return this.#owner !== undefined;
  }

  /**
   * Claims its DMA for user space. EPERM where it has another owner.
   *
   * @param owner The new owner.
   * @param blocked Whether its DMA is blocked until the owner attaches it, as
   * since Linux 6.6. Then EINVAL where the firmware keeps memory mapped
   * (`__iommu_device_set_domain()`).
   */
  claim(owner: DmaOwner, blocked: boolean): void {
    if (this.kernelOwned) refuse("EPERM");
    if (this.#owner !== undefined && this.#owner !== owner) refuse("EPERM");
    if (blocked && this.pinned) refuse("EINVAL");
    this.#owner = owner;
    this.#claims++;
  }

  /** Releases one claim. */
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
  /** The open file, which is notified when the node is removed. */
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
  /** The ids that drivers match: `"8086:10d3"`. */
  readonly ids: readonly string[];
  /** Held while its driver changes: `device_lock()`. */
  readonly lock = new Lock();
  #core: PciCore | undefined;
  /** The group it is in. */
  group: Group | undefined;
  /** The driver it is bound to. */
  driver: Driver | undefined;
  /** Whether it is being unbound from its driver. */
  unbinding = false;
  /** Whether it was removed from the machine. */
  removed = false;
  /** The only driver that may bind it. */
  override: string | undefined;
  /** Its reset methods, the preferred one first. */
  resets: readonly string[] = [];
  /** The memory that the firmware keeps mapped for it. */
  readonly reserved: readonly ReservedRegion[] = [];
  /** Its VFIO device, while it is bound to a VFIO driver. */
  vfio: VfioDevice | undefined;

  /**
   * Makes a device without a driver.
   *
   * @param name Its name.
   * @param bus The bus it is on.
   * @param path Its real path in sysfs.
   * @param ids The ids that drivers match.
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

  /** Its registers and interrupts, made at the first access. */
  get core(): PciCore {
    return this.#core ??= this.createCore();
  }

  /** Makes its registers and interrupts. */
  protected abstract createCore(): PciCore;

  /**
   * Whether a driver may bind it, by its override if it has one, else by its
   * ids.
   */
  matches(driver: Driver): boolean {
    if (driver.bus !== this.bus) return false;
    return this.override === undefined
      ? this.ids.some((id) => driver.ids.has(id))
      : driver.name === this.override;
  }

  /** Refuses a driver, if the bus does so before binding. */
  assertTakable(_driver: Driver): void {}

  /**
   * The first step of unbinding a driver. Without a driver, the device is being
   * removed.
   */
  *abandoned(_driver?: Driver): Steps<void> {}

  /** The last step of binding or unbinding a driver. */
  settled(_driver: Driver, _bound: boolean): void {}
}
