/**
 * Simulates `/dev/iommu`: IO address spaces and their devices
 * (`drivers/iommu/iommufd/`).
 *
 * @module
 */

import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  IOMMU_DESTROY,
  iommu_destroy,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  iommu_ioas_alloc,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VFIO_IOAS,
  IOMMU_VIOMMU_ALLOC,
} from "../../uapi/iommufd/all.ts";
import { put32, received } from "../process/argument.ts";
import { Device } from "../driver/bus.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import { ContextCalls } from "./context_calls.ts";
import {
  allocateHwpt,
  getDirtyBitmap,
  getHwInfo,
  invalidate,
  setDirtyTracking,
} from "./hwpt_calls.ts";
import { Ioas } from "./ioas.ts";
import {
  copyMapping,
  getPhysical,
  ioasOf,
  iovaRanges,
  mapFile,
  mapMemory,
  unmapRange,
} from "./ioas_calls.ts";
import type { Machine } from "../machine/machine.ts";
import {
  allocateEventQueue,
  allocateFaultQueue,
  allocateHwQueue,
  allocateVdevice,
  allocateViommu,
  FaultQueue,
} from "./queue_calls.ts";
import { ObjectTable } from "./object_table.ts";
import { PageTable } from "./page_table.ts";
import { refuse } from "../process/refusal.ts";

/** The objects of one iommufd, by id. */
export class IommufdFile implements OpenFile {
  readonly linkText = "/dev/iommu";
  readonly #machine: Machine;
  readonly #objects = new ObjectTable<object>();
  readonly #calls = new ContextCalls(this.#objects);
  /** How many devices and descriptors use it. */
  #users = 1;

  /**
   * Makes an iommufd without objects.
   *
   * @param machine The machine it is on.
   */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /**
   * Binds a device, which keeps the iommufd open. EPERM where the DMA of its
   * group has another owner, and where its interrupts are not told apart.
   *
   * @returns Its id.
   */
  bind(device: Device): number {
    if (isIsolated(device)) {
      this.#machine.assertTrusted("iommufd");
      device.group!.claim(this, this.#machine.blocksClaimed);
    }
    this.#users++;
    return this.#objects.add(device);
  }

  /**
   * Returns the id of a device, 0 where only its group is bound, or `undefined`
   * (`vfio_iommufd_get_dev_id()` in `drivers/vfio/iommufd.c`).
   */
  deviceId(device: Device): number | undefined {
    // Only what is on a VFIO driver can be owned.
    if (device.vfio === undefined) return undefined;
    let inGroup: number | undefined;
    for (const [id, object] of this.#objects) {
      if (object === device) return id;
      if (object instanceof Device) {
        if (object.group === device.group) inGroup = 0;
      }
    }
    return inGroup;
  }

  /** Undoes {@linkcode IommufdFile.bind}. */
  unbind(device: Device, id: number): void {
    this.detach(device);
    this.#objects.remove(id);
    if (isIsolated(device)) device.group!.release();
    this.#put();
  }

  /**
   * Attaches a device that is bound, or moves one that is attached together
   * with its group.
   *
   * @param device The device.
   * @param id The id of an IOAS or a page table.
   * @returns The page table's id.
   */
  attach(device: Device, id: number): number {
    if (isMediated(device)) return this.#attachMediated(device, id);
    const object = this.#objects.get(id) ?? refuse("ENOENT");
    if (object instanceof PageTable) {
      this.#move(device, object);
      return id;
    }
    if (!(object instanceof Ioas)) return refuse("EINVAL");
    for (const [id, table] of this.#objects) {
      if (!(table instanceof PageTable) || table.ioas !== object) continue;
      if (!table.automatic || !table.serves(device.group!)) continue;
      this.#move(device, table);
      return id;
    }
    return this.#attachAnew(device, object);
  }

  /** Refuses with ENOENT where no object has an id. */
  assertThere(id: number): void {
    if (this.#objects.get(id) === undefined) refuse("ENOENT");
  }

  /** Detaches a device, if it is attached. */
  detach(device: Device): void {
    const group = device.group!;
    if (group.domain instanceof Ioas) {
      group.domain.removeAccess();
      group.domain = undefined;
    }
    const table = PageTable.of(device);
    if (table === undefined) return;
    table.detach(device);
    this.#collect(table);
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    switch (operation.request) {
      case IOMMU_IOAS_ALLOC.request:
        return this.#allocate(argument);
      case IOMMU_DESTROY.request:
        return this.#destroy(received(iommu_destroy, argument).id);
      case IOMMU_IOAS_IOVA_RANGES.request:
        return iovaRanges(this.#objects, argument, process);
      case IOMMU_IOAS_MAP.request:
        return mapMemory(this.#objects, argument, process);
      case IOMMU_IOAS_COPY.request:
        return copyMapping(this.#objects, argument);
      case IOMMU_IOAS_MAP_FILE.request:
        return this.#machine.since(6, 13)
          ? mapFile(this.#objects, argument, process)
          : refuse("ENOTTY");
      case IOMMU_IOAS_UNMAP.request:
        return unmapRange(this.#objects, argument);
      case IOMMU_IOAS_NOIOMMU_GET_PA.request:
        // CONFIG_IOMMUFD_NOIOMMU
        return this.#machine.since(7, 3)
          ? getPhysical(this.#objects, argument, process)
          : refuse("ENOTTY");
      case IOMMU_GET_HW_INFO.request:
        return getHwInfo(this.#machine, this.#objects, argument, process);
      case IOMMU_HWPT_ALLOC.request:
        return allocateHwpt(this.#machine, this.#objects, argument);
      case IOMMU_HWPT_SET_DIRTY_TRACKING.request:
        return setDirtyTracking(this.#objects, argument);
      case IOMMU_HWPT_GET_DIRTY_BITMAP.request:
        return getDirtyBitmap(this.#objects, argument, process);
      case IOMMU_HWPT_INVALIDATE.request:
        return invalidate(this.#objects, argument);
      case IOMMU_OPTION.request:
        return this.#calls.option(argument, process);
      case IOMMU_VFIO_IOAS.request:
        return this.#calls.vfioIoas(argument);
      case IOMMU_IOAS_ALLOW_IOVAS.request:
        return this.#calls.allowIovas(argument, process);
      case IOMMU_IOAS_CHANGE_PROCESS.request:
        return this.#machine.since(6, 14)
          ? this.#calls.changeProcess(argument, process)
          : refuse("ENOTTY");
      case IOMMU_FAULT_QUEUE_ALLOC.request:
        allocateFaultQueue(
          this.#objects,
          argument,
          process,
          () => this.#put(),
        );
        // Its file keeps the iommufd.
        this.#users++;
        return 0;
      case IOMMU_VIOMMU_ALLOC.request:
        return allocateViommu(this.#objects, argument);
      case IOMMU_VDEVICE_ALLOC.request:
        return allocateVdevice(argument);
      case IOMMU_VEVENTQ_ALLOC.request:
        return allocateEventQueue(argument);
      case IOMMU_HW_QUEUE_ALLOC.request:
        return allocateHwQueue(argument);
      default:
        return refuse("ENOTTY");
    }
  }

  close(): void {
    this.#put();
  }

  #allocate(argument: Uint8Array | bigint): number {
    const { flags } = received(iommu_ioas_alloc, argument);
    if (flags !== 0) refuse("EOPNOTSUPP");
    const id = this.#objects.add(new Ioas(this.#machine));
    put32(argument, iommu_ioas_alloc.offset.out_ioas_id, id);
    return 0;
  }

  #destroy(id: number): number {
    const object = this.#objects.get(id) ?? refuse("ENOENT");
    const isMade = object instanceof Ioas || object instanceof PageTable ||
      object instanceof FaultQueue;
    if (!isMade || object.inUse) return refuse("EBUSY");
    if (object instanceof PageTable) {
      object.ioas.removeTable(object.translates);
      if (object.faults !== undefined) object.faults.users--;
    }
    if (object instanceof Ioas) {
      object.unmapAll();
      this.#calls.destroyed(object);
    }
    this.#objects.remove(id);
    return 0;
  }

  /**
   * Attaches a mediated device. It is alone in its group, and has no page
   * table.
   */
  #attachMediated({ group }: Device, id: number): number {
    const ioas = ioasOf(this.#objects, id);
    const from = group!.domain;
    if (from === ioas) return id;
    ioas.addAccess();
    if (from instanceof Ioas) from.removeAccess();
    group!.domain = ioas;
    return id;
  }

  /** Makes a page table, and attaches a device to it. */
  #attachAnew(device: Device, ioas: Ioas): number {
    const translates = isIsolated(device);
    const table = new PageTable(ioas, translates);
    const id = this.#objects.add(table);
    // For a device that moves, the mappings are added before the move, for a
    // new device after it is attached.
    const moves = PageTable.of(device) !== undefined;
    using undo = new DisposableStack();
    undo.defer(() => this.#objects.remove(id));
    if (moves) {
      ioas.addTable(translates);
      undo.defer(() => ioas.removeTable(translates));
    }
    this.#move(device, table);
    if (!moves) {
      undo.defer(() => table.detach(device));
      ioas.addTable(translates);
    }
    undo.move();
    return id;
  }

  #move(device: Device, to: PageTable): void {
    const from = PageTable.of(device);
    if (from === to) return;
    if (from === undefined) to.attach(device);
    else to.replace(from, device.group!);
    if (from !== undefined) this.#collect(from);
  }

  /** Destroys a page table after its last device is gone. */
  #collect(table: PageTable): void {
    if (table.inUse || !table.automatic) return;
    table.ioas.removeTable(table.translates);
    for (const [id, object] of this.#objects) {
      if (object === table) this.#objects.remove(id);
    }
  }

  #put(): void {
    if (--this.#users > 0) return;
    for (const [, object] of this.#objects) {
      if (object instanceof Ioas) object.unmapAll();
    }
    this.#objects.clear();
  }
}

/** Whether a device is mediated: its driver does its DMA. */
function isMediated({ group }: Device): boolean {
  return group!.kind === "emulated";
}

/** Whether an IOMMU isolates a device, so that its DMA can be claimed. */
function isIsolated({ group }: Device): boolean {
  return group!.kind === "iommu";
}
