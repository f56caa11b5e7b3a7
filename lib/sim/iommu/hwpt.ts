/**
 * Page tables that a process makes, and their logs
 * (`drivers/iommu/iommufd/hw_pagetable.c`, `io_pagetable.c`).
 *
 * @module
 */

import {
  iommu_hwpt_alloc,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  iommu_hwpt_get_dirty_bitmap,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  iommu_hwpt_set_dirty_tracking,
} from "../../uapi/iommufd/all.ts";
import type { Process } from "../fs/file.ts";
import { received } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";
import type { Iommu } from "./iommu.ts";
import type { PageTable } from "./page_table.ts";

const END = 1n << 64n;

/** What of IOMMU_HWPT_ALLOC says which table it is. */
export interface TableRequest {
  /** The device. */
  readonly device: number;
  /** The IO address space. */
  readonly ioas: number;
  /** Whether it logs what devices write. */
  readonly logs: boolean;
}

/**
 * Takes IOMMU_HWPT_ALLOC, as far as it is a table of an IO address space. An
 * IOMMU has none that are parents of others, or have PASIDs or faults.
 */
export function tableRequest(
  argument: Uint8Array | bigint,
  iommu: Iommu | undefined,
): TableRequest {
  const request = received(iommu_hwpt_alloc, argument, 24);
  if (request.__reserved !== 0) refuse("EOPNOTSUPP");
  if ((request.data_type === 0) !== (request.data_len === 0)) refuse("EINVAL");
  const logs = (request.flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  const others = request.flags & ~IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
  const cannot = logs && iommu?.dirtyTracking !== true;
  if (others !== 0 || request.data_type !== 0 || cannot) refuse("EOPNOTSUPP");
  return { device: request.dev_id, ioas: request.pt_id, logs };
}

/**
 * IOMMU_HWPT_SET_DIRTY_TRACKING.
 *
 * @param find Finds a page table by its number.
 */
export function setDirtyTracking(
  argument: Uint8Array | bigint,
  find: (id: number) => PageTable,
): number {
  const request = received(iommu_hwpt_set_dirty_tracking, argument);
  const { flags, hwpt_id } = request;
  if ((flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) refuse("EOPNOTSUPP");
  if (request.__reserved !== 0) refuse("EOPNOTSUPP");
  const log = find(hwpt_id).dirty ?? refuse("EOPNOTSUPP");
  log.set(flags !== 0);
  return 0;
}

/** IOMMU_HWPT_GET_DIRTY_BITMAP. It does not say that it was cut short. */
export function getDirtyBitmap(
  argument: Uint8Array | bigint,
  process: Process,
  find: (id: number) => PageTable,
): number {
  const request = received(iommu_hwpt_get_dirty_bitmap, argument);
  const { flags, iova, length, page_size: page } = request;
  if ((flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0) {
    refuse("EOPNOTSUPP");
  }
  if (request.__reserved !== 0) refuse("EOPNOTSUPP");
  const table = find(request.hwpt_id);
  if (table.dirty === undefined) refuse("EOPNOTSUPP");
  if (iova + length > END) refuse("EOVERFLOW");
  const { alignment } = table.ioas;
  if (page === 0n || length === 0n) refuse("EINVAL");
  for (const unit of [alignment, page]) {
    if (iova % unit !== 0n || (iova + length) % unit !== 0n) refuse("EINVAL");
  }
  const clear = flags === 0;
  const bits = process.memory.buffer(request.data);
  const last = iova + length - 1n;
  for (const at of table.dirty!.read(table.map, iova, last, clear)) {
    const bit = Number((at - iova) / page);
    bits[bit >> 3]! |= 1 << bit % 8;
  }
  return 0;
}
