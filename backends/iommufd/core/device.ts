import { VfioError } from "../../../lib/errors.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import { type HardwareInfo, readHardwareInfo } from "./hardware_info.ts";
import type { IommufdFile, Owned, User } from "./iommufd_file.ts";
import type { IommufdObject } from "./object.ts";
import { explaining, refused } from "./refusal.ts";

/** How a device is moved between page tables. */
export interface DevicePort {
  /**
   * Attaches it, or one of its PASIDs, in place of what it is attached to.
   *
   * @param id The number of a page table or of an IOAS.
   * @param pasid The PASID; `undefined` for the device itself.
   * @returns The number of the page table.
   */
  attach(id: number, pasid: number | undefined): number;
  /** Detaches it, or one of its PASIDs. */
  detach(pasid: number | undefined): void;
}

/** What a device is in its iommufd. */
export interface BoundDevice {
  /** Its number there. */
  readonly id: number;
  /** Its PCI address, or the name that another bus gave it. */
  readonly name: string;
  /** Its IOMMU group: devices of one group move together. */
  readonly group: string;
}

/** What a device can be attached to: an IOAS or a page table. */
export type Attachable = IommufdObject & {
  /** Whether the kernel can attach a PASID to it. */
  readonly takesPasids: boolean;
};

/**
 * A device that is bound to an iommufd: what it is attached to, and what its
 * IOMMU can do.
 *
 * @example Give a device a page table that logs what it writes
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { Hwpt } from "@passthru/vfio/iommufd";
 *
 * await using space = new AddressSpace({ backend: "iommufd" });
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * const { ioas, find } = await space.iommufd();
 * const bound = find(device);
 * if (bound.hardwareInfo().dirtyTracking) {
 *   const table = Hwpt.allocate(bound, ioas, { dirtyTracking: true });
 *   bound.attach(table);
 * }
 * ```
 */
export class IommufdDevice implements User, Owned {
  /** The iommufd that it is bound to. */
  readonly iommufd: IommufdFile;
  /** Its number there. */
  readonly id: number;
  /** Its name. */
  readonly name: string;
  /** Its IOMMU group. */
  readonly group: string;
  readonly #port: DevicePort;
  #attachedTo: Attachable | undefined;
  #moves = 0;
  readonly #pasids = new Map<number, Attachable>();
  /** What is lost where the device goes first. */
  readonly #parts = new Set<Owned>();
  #left = false;

  /**
   * Made by an address space.
   *
   * @param iommufd The iommufd that it is bound to.
   * @param device What it is there.
   * @param port Moves it.
   * @param attachedTo What it is attached to already.
   */
  constructor(
    iommufd: IommufdFile,
    { id, name, group }: BoundDevice,
    port: DevicePort,
    attachedTo?: Attachable,
  ) {
    this.iommufd = iommufd;
    this.id = id;
    this.name = name;
    this.group = group;
    this.#port = port;
    iommufd.bind(this);
    this.#hold(attachedTo);
  }

  /** What it is attached to. */
  get attachedTo(): Attachable | undefined {
    return this.#attachedTo;
  }

  /** @ignore How often somebody has moved it, or its group. */
  get moves(): number {
    return this.#moves;
  }

  /** Its PASIDs that are attached, and to what. */
  get pasids(): ReadonlyMap<number, IommufdObject> {
    return this.#pasids;
  }

  /**
   * Asks what the IOMMU behind it can do.
   *
   * @param kind The kind that is wanted, as `IOMMU_HW_INFO_TYPE_*`, where an
   * IOMMU is of several (Linux 7.3).
   * @throws {VfioError} `NOT_SUPPORTED` for a device without an IOMMU, or for
   * another kind than it is of; `KERNEL`.
   */
  hardwareInfo(kind?: number): HardwareInfo {
    this.#assertThere();
    return readHardwareInfo(this.iommufd, this, kind);
  }

  /**
   * Attaches it to a page table, or to an IOAS, in place of what it is attached
   * to: no access is lost between the two. Where it fails, nothing changes. All
   * devices of its group move with it.
   *
   * @param table The page table, or the IOAS for one that the kernel chooses.
   * @returns The number of the page table.
   * @throws {VfioError} `NOT_SUPPORTED` where its IOMMU cannot use the page
   * table, `IOVA_OUT_OF_RANGE` where something is mapped in a reserved window of
   * its, `DEVICE_BUSY` during a reset, `DETACHED`, `NO_MEMORY`, `KERNEL`.
   */
  attach(table: Attachable): number {
    this.#assertThere();
    table.assertIn(this.iommufd);
    table.assertThere();
    if (this.#pasids.size > 0) this.#assertTakesPasids(table);
    let id: number;
    try {
      id = this.#port.attach(table.id, undefined);
    } catch (error) {
      throw this.#refused(table, error);
    }
    for (const device of this.#movedWithIt()) {
      device.#hold(table);
      device.#moves++;
    }
    return id;
  }

  /**
   * Detaches it: its DMA is blocked, once no other device of its group is
   * attached. Does nothing where it is not attached.
   *
   * @throws {VfioError} `KERNEL`.
   */
  detach(): void {
    this.#assertThere();
    this.#step("detach it", () => this.#port.detach(undefined));
    this.#hold(undefined);
    this.#moves++;
  }

  /**
   * Attaches one of its PASIDs to a page table that takes PASIDs, in place of
   * what that was attached to. What the device itself is attached to must take
   * PASIDs too.
   *
   * @param pasid The PASID, 1 or more: 0 stands for the device itself.
   * @param table The page table.
   * @throws {RangeError} If it has no such PASID.
   * @throws {VfioError} `NOT_SUPPORTED` where it has no PASIDs, or a page table
   * takes none; `DETACHED`, `NO_MEMORY`, `KERNEL`.
   */
  attachPasid(pasid: number, table: Attachable): void {
    this.#assertPasid(pasid);
    table.assertIn(this.iommufd);
    table.assertThere();
    for (const used of [table, this.#attachedTo]) {
      if (used !== undefined) this.#assertTakesPasids(used);
    }
    try {
      this.#port.attach(table.id, pasid);
    } catch (error) {
      throw this.#refused(table, error);
    }
    this.#holdPasid(pasid, table);
  }

  /**
   * Detaches one of its PASIDs. Does nothing where it is not attached.
   *
   * @param pasid The PASID.
   * @throws {VfioError} `KERNEL`.
   */
  detachPasid(pasid: number): void {
    this.#assertThere();
    if (!this.#pasids.has(pasid)) return;
    this.#step(`detach PASID ${pasid}`, () => this.#port.detach(pasid));
    this.#holdPasid(pasid, undefined);
  }

  /** @ignore Says what is destroyed before it goes. */
  addPart(part: Owned): void {
    this.#parts.add(part);
  }

  /** @ignore Takes that back. */
  removePart(part: Owned): void {
    this.#parts.delete(part);
  }

  /**
   * @ignore Detaches it, as its page tables are destroyed after it.
   */
  destroy(): void {
    if (this.#left) return;
    this.detachPasids();
    if (this.#attachedTo !== undefined) this.detach();
  }

  /** @ignore Detaches its PASIDs, as it is about to be detached. */
  detachPasids(): void {
    for (const pasid of [...this.#pasids.keys()]) this.detachPasid(pasid);
  }

  /**
   * @ignore Forgets it, as it is about to be closed. What would be lost without
   * it is destroyed.
   */
  leave(): void {
    if (this.#left) return;
    for (const part of [...this.#parts].reverse()) part.destroy();
    this.#left = true;
    for (const pasid of [...this.#pasids.keys()]) {
      this.#holdPasid(pasid, undefined);
    }
    this.#hold(undefined);
    this.iommufd.unbind(this);
  }

  /** It and the devices of its group that are attached. */
  *#movedWithIt(): Iterable<IommufdDevice> {
    yield this;
    for (const other of this.iommufd.devices) {
      if (
        other instanceof IommufdDevice && other !== this &&
        other.group === this.group && other.#attachedTo !== undefined
      ) yield other;
    }
  }

  #hold(table: Attachable | undefined): void {
    if (table === this.#attachedTo) return;
    const before = this.#attachedTo;
    this.#attachedTo = table;
    table?.keep(this);
    if (before !== undefined) this.#letGo(before);
  }

  #holdPasid(pasid: number, table: Attachable | undefined): void {
    const before = this.#pasids.get(pasid);
    if (table === undefined) this.#pasids.delete(pasid);
    else {
      this.#pasids.set(pasid, table);
      table.keep(this);
    }
    if (before !== undefined && before !== table) this.#letGo(before);
  }

  /** Lets an object go, unless it has another use for it. */
  #letGo(table: Attachable): void {
    if (this.#attachedTo === table) return;
    if (this.#pasids.values().some((used) => used === table)) return;
    table.letGo(this);
  }

  #assertPasid(pasid: number): void {
    this.#assertThere();
    // PASID 0 would attach the device itself, behind the back of vfio.
    if (!Number.isInteger(pasid) || pasid < 1) {
      throw new RangeError(
        `Cannot take PASID ${pasid}: expected a whole number from 1 on`,
      );
    }
    // The kernel takes a PASID of a device without any, and does nothing.
    const { pasids } = this.hardwareInfo();
    if (pasids === 0) {
      throw new VfioError("NOT_SUPPORTED", {
        device: this.name,
        problem: "the device, or its IOMMU, has no PASIDs",
        hint: "attach the device itself: device.attach(table)",
      });
    }
    if (pasid >= pasids) {
      throw new RangeError(
        `Cannot take PASID ${pasid}: ${this.name} has ${pasids}`,
      );
    }
  }

  #assertTakesPasids(table: Attachable): void {
    if (table.takesPasids) return;
    throw new VfioError("NOT_SUPPORTED", {
      device: this.name,
      problem: `${table.name} takes no PASIDs`,
      hint: "take a page table that was allocated with { pasid: true }, for " +
        "the device itself too",
    });
  }

  #assertThere(): void {
    if (!this.#left) return this.iommufd.assertOpen();
    throw new VfioError("DETACHED", {
      device: this.name,
      problem: "the device was detached",
      hint: "attach it again: VfioDevice.attach",
    });
  }

  #step(doing: string, step: () => void): void {
    try {
      step();
    } catch (error) {
      throw refused(error, doing, this.name);
    }
  }

  /** Explains why it could not be attached (`iommufd_device_attach()`). */
  #refused(table: IommufdObject, cause: unknown): unknown {
    const explained = explaining(cause, "", this.name);
    if (hasErrno(cause, "EINVAL", "ENODEV")) {
      return explained(
        "NOT_SUPPORTED",
        `its IOMMU cannot use ${table.name} for it`,
        "allocate a page table for this device: Hwpt.allocate(device, ...); " +
          "the devices of a group share one",
      );
    }
    if (hasErrno(cause, "EADDRINUSE")) {
      return explained(
        "IOVA_OUT_OF_RANGE",
        `${table.name} has something mapped where this device has a reserved ` +
          "window",
        "unmap that, and map it elsewhere",
      );
    }
    if (hasErrno(cause, "EBUSY")) {
      return explained(
        "DEVICE_BUSY",
        "the device is being reset, or attached elsewhere",
        "try again when the reset is over",
      );
    }
    // A mediated device has no page table of its own.
    if (hasErrno(cause, "ENOENT")) {
      return explained(
        "NOT_SUPPORTED",
        `its driver does its DMA, and cannot use ${table.name}`,
        "attach it to an IOAS",
      );
    }
    return refused(cause, `attach it to ${table.name}`, this.name);
  }
}
