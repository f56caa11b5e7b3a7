/**
 * The iommufd backend: a device's own node, bound to an iommufd and attached
 * to an IO address space (`Documentation/userspace-api/iommufd.rst`).
 *
 * @module
 */

import { VfioError } from "../../lib/errors.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import type {
  Attachment,
  AttachOptions,
  AttachTarget,
  DirtyLog,
  DmaRange,
  IommuContext,
  IommuLimits,
  Mapped,
  PageTable,
  PhysicalRange,
  SharedIommufd,
} from "../backend.ts";
import { noMemory, openNode } from "../explain.ts";
import { ignoreErrors, insist } from "../teardown.ts";
import { attachRefused, bind, bindRefused, tableRefused } from "./bind.ts";
import { removeFrom } from "../kvm.ts";
import { boundBefore, boundElsewhere, otherIommufd } from "./bound.ts";
import { detachFrom } from "./attach.ts";
import type { AttachedDevice } from "./attached_device.ts";
import type { HwptDirtyLog } from "./dirty_log.ts";
import { SpaceIoas } from "./space_ioas.ts";

/** What knows of the objects that were made beside the space's own. */
export interface Door {
  /** A device was attached. */
  enter(device: AttachedDevice): void;
  /** Whether a device was moved from the IOAS to what was made beside it. */
  hasMoved(id: number): boolean;
  /** How often somebody has moved a device. */
  moves(id: number): number;
  /** A device is about to be detached. */
  leaving(id: number): void;
  /** A device was detached, and is open still. */
  left(id: number): void;
  /** The IOAS goes. */
  close(): void;
}

/** What a door is made of. */
export interface DoorParts {
  /** The system. */
  readonly kernel: Kernel;
  /** The iommufd. */
  readonly fd: Fd;
  /** The number of the IOAS. */
  readonly ioas: number;
  /** What the space's maker has of the iommufd, where that was passed in. */
  readonly shared: SharedIommufd | undefined;
}

/** An IOVA space in the kernel, as one IOAS. */
export class IommufdContext implements IommuContext {
  /** Always `"iommufd"`. */
  readonly backend = "iommufd";
  readonly #kernel: Kernel;
  readonly #mapped: Mapped;
  readonly #noIommu: boolean;
  #ioas: SpaceIoas | undefined;
  /** Devices attached, and those on the way. */
  #users = 0;
  readonly #devices = new Set<AttachedDevice>();
  readonly #shared: SharedIommufd | undefined;
  #door: Door | undefined;
  #dirtyLog: HwptDirtyLog | undefined;

  /**
   * @param kernel The system that is asked.
   * @param noIommu Whether it is for devices that no IOMMU isolates.
   * @param mapped What is mapped in the address space.
   * @param shared The iommufd that it lives in, where that was passed in.
   */
  constructor(
    kernel: Kernel,
    noIommu: boolean,
    mapped: Mapped,
    shared?: SharedIommufd,
  ) {
    this.#shared = shared;
    this.#kernel = kernel;
    this.#noIommu = noIommu;
    this.#mapped = mapped;
  }

  async attach(
    target: AttachTarget,
    options: AttachOptions,
  ): Promise<Attachment> {
    const { cdev, iommufd } = target.nodes;
    if (iommufd !== undefined && this.#ioas?.livesIn(iommufd) === false) {
      throw otherIommufd(target);
    }
    const ioas = this.#ioas ??= SpaceIoas.open(
      this.#kernel,
      target,
      this.#mapped(),
    );
    this.#users++;
    await using stack = new AsyncDisposableStack();
    stack.defer(() => this.#leave(ioas));
    const fd = openNode(this.#kernel, target, cdev!);
    stack.defer(() => ignoreErrors(() => fd.closeAsync()));
    const { kvm } = options;
    if (kvm !== undefined) {
      if (target.nodes.deviceId !== undefined) throw boundBefore(target);
      kvm.add(fd.number);
      stack.defer(() => removeFrom(kvm, fd));
    }
    let deviceId: number;
    try {
      deviceId = await bind(target, fd, ioas, options);
    } catch (error) {
      const bound = hasErrno(error, "EINVAL")
        ? boundElsewhere(target, fd, error)
        : undefined;
      // Closed first, or else this process would be found to have the device
      // open.
      await stack.disposeAsync();
      throw bound ?? bindRefused(target, options, error);
    }
    const { pageTable } = options;
    const device: AttachedDevice = {
      id: deviceId,
      name: target.device.name,
      group: target.group.id,
      fd,
      mediated: target.device.bus === "mdev",
      table: pageTable,
    };
    stack.defer(() => this.#door?.left(deviceId));
    try {
      this.#attach(ioas, device);
    } catch (error) {
      throw this.#pinRefused(error) ?? this.#tableRefused(device, error) ??
        attachRefused(target, error);
    }
    this.#devices.add(device);
    this.#door?.enter(device);
    stack.defer(() => {
      this.#devices.delete(device);
      this.#door?.leaving(deviceId);
      insist(() => detachFrom(fd));
      this.#dirtyLog?.remove(device);
    });
    const held = stack.move();
    return {
      fd,
      ownership: { iommufd: ioas.iommufd, deviceId },
      borrowed: typeof cdev === "number",
      detach: () => held.disposeAsync(),
    };
  }

  /**
   * Attaches a device to the page table that was asked for; else, while one
   * logs what devices write, to that; else to the IOAS.
   */
  #attach(ioas: SpaceIoas, device: AttachedDevice): void {
    const table = this.#assertOurs(device.table);
    try {
      if (table === undefined && this.#dirtyLog?.isOn) {
        return this.#dirtyLog.attach(device);
      }
    } catch (error) {
      const cannot = error instanceof VfioError &&
        error.code === "NOT_SUPPORTED";
      if (!cannot) throw error;
    }
    ioas.attach(device.fd, table?.id);
  }

  /** Explains that the page table does not suit the device, or its group. */
  #tableRefused(device: AttachedDevice, cause: unknown): unknown {
    const { group, table } = device;
    // One with a fault queue takes devices that request pages (ENODEV).
    if (table !== undefined && hasErrno(cause, "ENODEV")) {
      return tableRefused(device, undefined, cause);
    }
    if (!hasErrno(cause, "EINVAL")) return undefined;
    const other = this.#devices.values().find((other) =>
      other.group === group && (table !== undefined || this.#hasMoved(other))
    );
    return tableRefused(device, other?.name, cause);
  }

  /** Whether somebody has attached a device to a page table of their own. */
  #hasMoved({ id, table }: AttachedDevice): boolean {
    return this.#door?.hasMoved(id) ?? table !== undefined;
  }

  // An IOAS without a device pins nothing: attaching the first device pins
  // everything.
  #pinRefused(cause: unknown): unknown {
    if (!hasErrno(cause, "ENOMEM") || this.#users > 1) return undefined;
    const size = [...this.#mapped()]
      .reduce((sum, { bytes }) => sum + bytes, 0);
    if (size === 0) return undefined;
    return noMemory(this.#kernel, "iommufd", BigInt(size), cause);
  }

  /** Refuses a page table of another iommufd. */
  #assertOurs(table: PageTable | undefined): PageTable | undefined {
    const door = this.#door as { readonly iommufd?: object } | undefined;
    const ours: object | undefined = this.#shared ?? door?.iommufd;
    if (table === undefined || table.iommufd === ours) return table;
    throw new TypeError(
      `Cannot attach to ${table.name}: it is of another iommufd than the ` +
        "address space",
    );
  }

  /**
   * What knows of the objects that are made beside the space's own.
   *
   * @param make Makes it.
   */
  door(make: (parts: DoorParts) => Door): Door {
    if (this.#door !== undefined) return this.#door;
    const ioas = this.#ioas!;
    this.#door = make({
      kernel: this.#kernel,
      fd: ioas.iommufd,
      ioas: ioas.id,
      shared: this.#shared,
    });
    for (const device of this.#devices) this.#door.enter(device);
    return this.#door;
  }

  #leave(ioas: SpaceIoas): void {
    if (--this.#users > 0) return;
    this.#ioas = undefined;
    this.#door?.close();
    this.#door = undefined;
    this.#dirtyLog = undefined;
    ioas.close();
  }

  map(range: DmaRange): void {
    this.#ioas?.map(range);
  }

  async mapAsync(range: DmaRange): Promise<void> {
    const ioas = this.#ioas;
    try {
      await ioas?.mapAsync(range);
    } catch (error) {
      // The last device left meanwhile, and the IOAS with it.
      if (this.#ioas === ioas) throw error;
    }
  }

  unmap(range: DmaRange): void {
    this.#ioas?.unmap(range);
  }

  physical(range: DmaRange, offset: number): PhysicalRange {
    return this.#ioas!.physical(range, offset);
  }

  limits(): IommuLimits {
    const limits = this.#ioas!.limits();
    // What has no IOMMU takes any IOVA, and none is of use.
    return this.#noIommu ? { ...limits, ranges: [] } : limits;
  }

  copy(range: DmaRange, from: DmaRange, source: IommuContext): boolean {
    if (!(source instanceof IommufdContext)) return false;
    const [into, other] = [this.#ioas, source.#ioas];
    if (into === undefined || other === undefined) return false;
    return into.copy(range, from, other);
  }

  // What is mapped by its file needs no address (IOMMU_IOAS_CHANGE_PROCESS).
  dropAddresses(): void {
    for (const { file } of this.#mapped()) {
      if (file === undefined) throw fixedAddresses();
    }
  }

  updateAddress(): void {}

  async startDirtyLog(): Promise<DirtyLog> {
    const { HwptDirtyLog } = await import("./dirty_log.ts");
    const log = this.#dirtyLog ??= new HwptDirtyLog(
      this.#kernel,
      this.#ioas!,
      (device) => this.#hasMoved(device),
      ({ id }) => this.#door?.moves(id) ?? 0,
    );
    log.start(this.#devices);
    return log;
  }
}

function fixedAddresses(): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    problem: "iommufd does not let go of this process's addresses",
    hint: "map memory by its file: space.allocate(size, { memfd: true }), or " +
      "space.mapFile()",
  });
}
