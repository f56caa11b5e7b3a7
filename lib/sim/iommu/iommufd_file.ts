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
  IOMMU_IOAS_ALLOC,
  iommu_ioas_alloc,
  IOMMU_IOAS_COPY,
  iommu_ioas_copy,
  IOMMU_IOAS_IOVA_RANGES,
  iommu_ioas_iova_ranges,
  IOMMU_IOAS_MAP,
  iommu_ioas_map,
  IOMMU_IOAS_MAP_FILE,
  iommu_ioas_map_file,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  iommu_ioas_noiommu_get_pa,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_unmap,
  iommu_iova_range,
} from "../../uapi/iommufd/all.ts";
import { put32, put64, received } from "../process/argument.ts";
import type { Device } from "../driver/bus.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import { Ioas, type IoasMapRequest } from "./ioas.ts";
import type { Machine } from "../machine/machine.ts";
import { Numbers } from "../machine/numbers.ts";
import { PageTable } from "./page_table.ts";
import { refuse } from "../process/refusal.ts";

const MAX = 0xffff_ffff_ffff_ffffn;
const ACCESS = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;

/** The objects of one iommufd, by id. */
export class IommufdFile implements OpenFile {
  readonly linkText = "/dev/iommu";
  readonly #machine: Machine;
  readonly #objects = new Map<number, Ioas | PageTable | Device>();
  readonly #ids = new Numbers();
  /** How many devices and descriptors use it. */
  #users = 1;

  /**
   * Makes an iommufd without objects.
   *
   * @param machine The machine it is on.
   */
  constructor(machine: Machine) {
    this.#machine = machine;
    // No object has id 0.
    this.#ids.reserve(0);
  }

  /**
   * Binds a device, which keeps the iommufd open. EPERM where the DMA of its
   * group has another owner.
   *
   * @returns Its id.
   */
  bind(device: Device): number {
    if (isIsolated(device)) {
      device.group!.claim(this, this.#machine.blocksClaimed);
    }
    this.#users++;
    return this.#add(device);
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
      if (!(object instanceof Ioas) && !(object instanceof PageTable)) {
        if (object.group === device.group) inGroup = 0;
      }
    }
    return inGroup;
  }

  /** Undoes {@linkcode IommufdFile.bind}. */
  unbind(device: Device, id: number): void {
    this.detach(device);
    this.#remove(id);
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
      if (!table.serves(device.group!)) continue;
      this.#move(device, table);
      return id;
    }
    return this.#attachAnew(device, object);
  }

  /** Refuses with ENOENT where no object has an id. */
  assertThere(id: number): void {
    if (!this.#objects.has(id)) refuse("ENOENT");
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
        return this.#iovaRanges(argument, process);
      case IOMMU_IOAS_MAP.request:
        return this.#map(argument, process);
      case IOMMU_IOAS_COPY.request:
        return this.#copy(argument);
      case IOMMU_IOAS_MAP_FILE.request:
        return this.#machine.since(6, 13)
          ? this.#mapFile(argument, process)
          : refuse("ENOTTY");
      case IOMMU_IOAS_UNMAP.request:
        return this.#unmap(argument);
      case IOMMU_IOAS_NOIOMMU_GET_PA.request:
        // CONFIG_IOMMUFD_NOIOMMU
        return this.#machine.since(7, 3)
          ? this.#getPhysical(argument, process)
          : refuse("ENOTTY");
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
    const id = this.#add(new Ioas(this.#machine));
    put32(argument, iommu_ioas_alloc.offset.out_ioas_id, id);
    return 0;
  }

  #destroy(id: number): number {
    const object = this.#objects.get(id) ?? refuse("ENOENT");
    if (!(object instanceof Ioas) || object.inUse) return refuse("EBUSY");
    object.unmapAll();
    this.#remove(id);
    return 0;
  }

  #iovaRanges(argument: Uint8Array | bigint, process: Process): number {
    const layout = iommu_ioas_iova_ranges;
    const request = received(layout, argument);
    if (request.__reserved !== 0) refuse("EOPNOTSUPP");
    const { ranges, alignment } = this.#ioas(request.ioas_id);
    const room = ranges.slice(0, request.num_iovas);
    if (room.length > 0) {
      const array = process.memory.buffer(request.allowed_iovas);
      for (const [i, range] of room.entries()) {
        iommu_iova_range.encode(array, range, i * iommu_iova_range.size);
      }
    }
    put32(argument, layout.offset.num_iovas, ranges.length);
    put64(argument, layout.offset.out_iova_alignment, alignment);
    return room.length < ranges.length ? refuse("EMSGSIZE") : 0;
  }

  #map(argument: Uint8Array | bigint, process: Process): number {
    const map = received(iommu_ioas_map, argument);
    if (map.__reserved !== 0) refuse("EOPNOTSUPP");
    assertMapFlags(map);
    const request = { ...map, address: map.user_va };
    const iova = this.#ioas(map.ioas_id).mapUser(request, process);
    put64(argument, iommu_ioas_map.offset.iova, iova);
    return 0;
  }

  #mapFile(argument: Uint8Array | bigint, process: Process): number {
    const map = received(iommu_ioas_map_file, argument);
    assertMapFlags(map);
    const ioas = this.#ioas(map.ioas_id);
    const file = process.file(map.fd);
    const request = { ...map, address: map.start, file };
    // Of a dma-buf it looks at all when it is mapped, of another file later.
    file.dmaBuf?.(Number(map.start), Number(map.length));
    const iova = ioas.mapUser(request, process);
    put64(argument, iommu_ioas_map_file.offset.iova, iova);
    return 0;
  }

  #copy(argument: Uint8Array | bigint): number {
    const copy = received(iommu_ioas_copy, argument);
    const { flags, src_iova, dst_iova, length } = copy;
    if ((flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS)) !== 0) {
      refuse("EOPNOTSUPP");
    }
    if (length === MAX || src_iova === MAX || dst_iova === MAX) {
      refuse("EOVERFLOW");
    }
    if ((flags & ACCESS) === 0) refuse("EINVAL");
    const source = this.#ioas(copy.src_ioas_id);
    const iova = this.#ioas(copy.dst_ioas_id).copyFrom(source, copy);
    put64(argument, iommu_ioas_copy.offset.dst_iova, iova);
    return 0;
  }

  #unmap(argument: Uint8Array | bigint): number {
    const unmap = received(iommu_ioas_unmap, argument);
    const bytes = this.#ioas(unmap.ioas_id).unmapRange(unmap);
    put64(argument, iommu_ioas_unmap.offset.length, bytes);
    return 0;
  }

  #getPhysical(argument: Uint8Array | bigint, process: Process): number {
    const layout = iommu_ioas_noiommu_get_pa;
    const request = received(layout, argument);
    if (process.uid !== 0) refuse("EPERM");
    if (request.flags !== 0 || request.__reserved !== 0) refuse("EOPNOTSUPP");
    if (request.length === 0n) refuse("EINVAL");
    if (request.iova === MAX) refuse("EOVERFLOW");
    const { address, length } = this.#ioas(request.ioas_id)
      .locate(request.iova, request.length);
    put64(argument, layout.offset.length, length);
    put64(argument, layout.offset.out_phys, address);
    return 0;
  }

  #ioas(id: number): Ioas {
    const object = this.#objects.get(id);
    return object instanceof Ioas ? object : refuse("ENOENT");
  }

  /**
   * Attaches a mediated device. It is alone in its group, and has no page
   * table.
   */
  #attachMediated({ group }: Device, id: number): number {
    const ioas = this.#ioas(id);
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
    const id = this.#add(table);
    // For a device that moves, the mappings are added before the move, for a
    // new device after it is attached.
    const moves = PageTable.of(device) !== undefined;
    using undo = new DisposableStack();
    undo.defer(() => this.#remove(id));
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
    if (table.inUse) return;
    table.ioas.removeTable(table.translates);
    for (const [id, object] of this.#objects) {
      if (object === table) this.#remove(id);
    }
  }

  #add(object: Ioas | PageTable | Device): number {
    const id = this.#ids.take();
    this.#objects.set(id, object);
    return id;
  }

  #remove(id: number): void {
    this.#objects.delete(id);
    this.#ids.give(id);
  }

  #put(): void {
    if (--this.#users > 0) return;
    for (const object of this.#objects.values()) {
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

function assertMapFlags(
  { flags, iova, length }: Omit<IoasMapRequest, "address">,
): void {
  if ((flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS)) !== 0) {
    refuse("EOPNOTSUPP");
  }
  if (iova === MAX || length === MAX) refuse("EOVERFLOW");
  if ((flags & ACCESS) === 0) refuse("EINVAL");
}
