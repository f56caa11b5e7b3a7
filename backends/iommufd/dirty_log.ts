import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import {
  IOMMU_HWPT_ALLOC,
  iommu_hwpt_alloc,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
} from "../../lib/uapi/iommufd/hwpt.ts";
import type { DirtyLog, DmaRange } from "../backend.ts";
import { ignoreErrors, insist } from "../teardown.ts";
import type { AttachedDevice } from "./attached_device.ts";
import { IommufdFile } from "./core/iommufd_file.ts";
import type { SpaceIoas } from "./space_ioas.ts";
import { readDirty, setDirtyTracking } from "./tables/dirty.ts";

/** A page table that logs what devices write. */
interface Table {
  readonly id: number;
  /** Its devices, and how often each had been moved when it came. */
  readonly devices: Map<AttachedDevice, number>;
}

/**
 * The logs of page tables (HWPT) that are made for it: devices are moved to
 * them when it starts, and back when it stops.
 */
export class HwptDirtyLog implements DirtyLog {
  /** Always `"hwpt"`. */
  readonly by = "hwpt";
  /** Part of a mapping can be read. */
  readonly wholeMappings = false;
  readonly #iommufd: IommufdFile;
  readonly #ioas: SpaceIoas;
  readonly #hasMoved: (device: AttachedDevice) => boolean;
  readonly #moves: (device: AttachedDevice) => number;
  readonly #tables = new Set<Table>();
  #isOn = false;
  /** What a bit stands for, in bytes. */
  readonly pageSize: number;

  /**
   * @param kernel The system that is asked.
   * @param ioas The IO address space.
   * @param hasMoved Whether somebody has attached a device to another page table.
   * @param moves How often somebody has moved a device.
   */
  constructor(
    kernel: Kernel,
    ioas: SpaceIoas,
    hasMoved: (device: AttachedDevice) => boolean,
    moves: (device: AttachedDevice) => number,
  ) {
    this.#hasMoved = hasMoved;
    this.#moves = moves;
    this.#iommufd = new IommufdFile(kernel, ioas.iommufd);
    this.#ioas = ioas;
    this.pageSize = Math.max(4096, Number(ioas.limits().alignment));
  }

  /** It tells pages apart, unless somebody has moved a device away. */
  get blur(): string | undefined {
    for (const { devices } of this.#tables) {
      for (const [device, moves] of devices) {
        // To the IOAS, too: the kernel takes another for it, without a log.
        if (this.#moves(device) !== moves) {
          return `${device.name} was attached to another page table`;
        }
      }
    }
    return undefined;
  }

  /** Whether devices that come are attached to page tables that log. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /**
   * Moves devices to page tables that log, unless they are there.
   *
   * @param devices All devices that are attached.
   * @throws {VfioError} `NOT_SUPPORTED` if an IOMMU logs nothing. Then those are
   * moved back that were moved now.
   */
  start(devices: Iterable<AttachedDevice>): void {
    const moved: AttachedDevice[] = [];
    try {
      for (const device of devices) {
        if (this.#tableOf(device) !== undefined) continue;
        this.attach(device);
        moved.push(device);
      }
      this.#isOn = true;
    } catch (error) {
      for (const device of moved) this.#moveBack(device);
      throw error;
    }
  }

  /**
   * Attaches a device to a page table that logs: that of its group, or another
   * that its IOMMU can use, or a new one.
   */
  attach(device: AttachedDevice): void {
    this.#assertTracked(device);
    for (const table of this.#tables) {
      try {
        this.#ioas.attach(device.fd, table.id);
      } catch (error) {
        // Only that says that another may do.
        if (!hasErrno(error, "EINVAL")) throw error;
        continue;
      }
      table.devices.set(device, this.#moves(device));
      return;
    }
    const id = this.#allocate(device);
    try {
      setDirtyTracking(this.#iommufd, id, true);
      this.#ioas.attach(device.fd, id);
    } catch (error) {
      ignoreErrors(() => this.#iommufd.destroy(id, "page table"));
      throw hasErrno(error, "EINVAL") ? groupElsewhere(device, error) : error;
    }
    const devices = new Map([[device, this.#moves(device)]]);
    this.#tables.add({ id, devices });
  }

  #allocate({ name, id }: AttachedDevice): number {
    const argument = iommu_hwpt_alloc.alloc({
      flags: IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
      dev_id: id,
      pt_id: this.#ioas.id,
    });
    try {
      this.#iommufd.fd.ioctl(IOMMU_HWPT_ALLOC, argument);
    } catch (error) {
      if (!hasErrno(error, "EOPNOTSUPP", "ENOTTY")) throw error;
      throw new VfioError("NOT_SUPPORTED", {
        device: name,
        problem: "its IOMMU logs no memory that devices write",
        hint:
          "take all memory as written, or stop the device before it is read",
        cause: error,
      });
    }
    return iommu_hwpt_alloc.decode(argument).out_hwpt_id;
  }

  /** Forgets a device that was detached, and its page table behind the last. */
  remove(device: AttachedDevice): void {
    const table = this.#tableOf(device);
    if (table === undefined) return;
    table.devices.delete(device);
    if (table.devices.size > 0) return;
    this.#tables.delete(table);
    insist(() => this.#iommufd.destroy(table.id, "page table"));
  }

  read(
    iova: bigint,
    bytes: number,
    bitmap: Uint8Array<ArrayBuffer>,
    clear: boolean,
  ): void {
    // The kernel adds to what is in the bitmap.
    for (const { id } of this.#tables) {
      readDirty(this.#iommufd, {
        hwpt: id,
        iova,
        size: BigInt(bytes),
        pageSize: this.pageSize,
        bitmap,
        keep: !clear,
      });
    }
  }

  unmap(range: DmaRange, bitmap: Uint8Array<ArrayBuffer>): boolean {
    // What is about to go need not be cleared.
    this.read(range.iova, range.bytes, bitmap, false);
    this.#ioas.unmap(range);
    return false;
  }

  stop(): void {
    this.#isOn = false;
    for (const { id, devices } of [...this.#tables]) {
      ignoreErrors(() => setDirtyTracking(this.#iommufd, id, false));
      for (const device of [...devices.keys()]) this.#moveBack(device);
    }
  }

  // A device that cannot be moved back keeps its page table, which translates
  // as well without its log.
  #moveBack(device: AttachedDevice): void {
    try {
      this.#ioas.attach(device.fd);
    } catch {
      return;
    }
    this.remove(device);
  }

  #tableOf(device: AttachedDevice): Table | undefined {
    return this.#tables.values().find(({ devices }) => devices.has(device));
  }

  /** Refuses a device without a page table, or with one of its user's. */
  #assertTracked(device: AttachedDevice): void {
    const { name, mediated } = device;
    if (mediated) {
      throw new VfioError("NOT_SUPPORTED", {
        device: name,
        problem:
          "its driver writes memory itself, and iommufd does not log that",
        hint: "take the legacy backend, which logs what such drivers write",
      });
    }
    if (!this.#hasMoved(device)) return;
    throw new VfioError("NOT_SUPPORTED", {
      device: name,
      problem: "it is attached to a page table that was made for it",
      hint: "attach it to the space's IOAS, or read that page table: " +
        "hwpt.readDirty()",
    });
  }
}

function groupElsewhere(
  { name }: AttachedDevice,
  cause: unknown,
): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: "another device of its group was attached to a page table that " +
      "logs nothing, and a group has one",
    hint: "stop dirty tracking, and start it anew",
    cause,
  });
}
