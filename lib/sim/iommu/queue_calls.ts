import {
  iommu_fault_alloc,
  iommu_hw_queue_alloc,
  iommu_vdevice_alloc,
  iommu_veventq_alloc,
  IOMMU_VEVENTQ_TYPE_DEFAULT,
  iommu_viommu_alloc,
  IOMMU_VIOMMU_TYPE_DEFAULT,
} from "../../uapi/iommufd/all.ts";
import { POLLOUT } from "../../uapi/linux/poll.ts";
import { Device } from "../driver/bus.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import { put32, received } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";
import type { Objects } from "./object_table.ts";

const LAST = 0xffff_ffff_ffff_ffffn;
/** The most events that a queue holds. */
const MOST_EVENTS = 2 ** 19;

/**
 * A fault queue (`drivers/iommu/iommufd/eventq.c`). No device of the simulation
 * asks for pages, so it stays empty.
 */
export class FaultQueue implements OpenFile {
  readonly linkText = "anon_inode:[iommufd-pgfault]";
  readonly #closed: () => void;
  #open = true;
  /** How many page tables have it. */
  users = 0;

  /** @param closed Called when its file is closed. */
  constructor(closed: () => void) {
    this.#closed = closed;
  }

  /** Whether its file, or a page table, keeps it. */
  get inUse(): boolean {
    return this.#open || this.users > 0;
  }

  read(into: Uint8Array): number {
    return into.length % 40 === 0 ? 0 : refuse("ESPIPE");
  }

  write(from: Uint8Array): number {
    if (from.length % 8 !== 0) refuse("ESPIPE");
    // There is no request that it could answer.
    return from.length === 0 ? 0 : refuse("EINVAL");
  }

  poll(): number {
    return POLLOUT;
  }

  close(): void {
    this.#open = false;
    this.#closed();
  }
}

/**
 * IOMMU_FAULT_QUEUE_ALLOC (`iommufd_fault_alloc()`).
 *
 * @param closed Called when its file is closed, which keeps the iommufd.
 */
export function allocateFaultQueue(
  objects: Objects,
  argument: Uint8Array | bigint,
  process: Process,
  closed: () => void,
): number {
  const layout = iommu_fault_alloc;
  if (received(layout, argument).flags !== 0) refuse("EOPNOTSUPP");
  const queue = new FaultQueue(closed);
  const id = objects.add(queue);
  put32(argument, layout.offset.out_fault_id, id);
  put32(argument, layout.offset.out_fault_fd, process.install(queue));
  return 0;
}

/** IOMMU_VIOMMU_ALLOC: no IOMMU of the simulation has virtual ones. */
export function allocateViommu(
  objects: Objects,
  argument: Uint8Array | bigint,
): number {
  const { flags, type, dev_id } = received(iommu_viommu_alloc, argument, 24);
  if (flags !== 0 || type === IOMMU_VIOMMU_TYPE_DEFAULT) refuse("EOPNOTSUPP");
  const isThere = objects.get(dev_id) instanceof Device;
  return refuse(isThere ? "EOPNOTSUPP" : "ENOENT");
}

/** IOMMU_VDEVICE_ALLOC: there is no virtual IOMMU. */
export function allocateVdevice(argument: Uint8Array | bigint): number {
  received(iommu_vdevice_alloc, argument);
  return refuse("ENOENT");
}

/** IOMMU_VEVENTQ_ALLOC: there is no virtual IOMMU. */
export function allocateEventQueue(argument: Uint8Array | bigint): number {
  const request = received(iommu_veventq_alloc, argument, 28);
  const { flags, type, veventq_depth } = request;
  if (
    flags !== 0 || request.__reserved !== 0 ||
    type === IOMMU_VEVENTQ_TYPE_DEFAULT
  ) refuse("EOPNOTSUPP");
  if (veventq_depth === 0 || veventq_depth > MOST_EVENTS) refuse("EINVAL");
  return refuse("ENOENT");
}

/** IOMMU_HW_QUEUE_ALLOC: there is no virtual IOMMU. */
export function allocateHwQueue(argument: Uint8Array | bigint): number {
  const request = received(iommu_hw_queue_alloc, argument);
  const { flags, type, nesting_parent_iova, length } = request;
  if (flags !== 0 || type === 0) refuse("EOPNOTSUPP");
  if (length === 0n) refuse("EINVAL");
  if (nesting_parent_iova + length - 1n > LAST) refuse("EOVERFLOW");
  return refuse("ENOENT");
}
