import type { Kernel } from "../../../lib/kernel/kernel.ts";
import {
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  iommu_hwpt_get_dirty_bitmap,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_hwpt_set_dirty_tracking,
} from "../../../lib/uapi/iommufd/hwpt.ts";
import type { IommufdFile } from "../core/iommufd_file.ts";

/** Where a bitmap is: bytes of this process, or memory by its address. */
export type BitmapTarget = Uint8Array | {
  /** The address of its first byte. */
  readonly address: bigint;
  /** Its length in bytes. */
  readonly size: number;
};

/** Starts or stops a page table's log (`iopt_set_dirty_tracking()`). */
export function setDirtyTracking(
  iommufd: IommufdFile,
  hwpt: number,
  on: boolean,
): void {
  iommufd.call(
    `${on ? "start" : "stop"} dirty tracking`,
    IOMMU_HWPT_SET_DIRTY_TRACKING,
    iommu_hwpt_set_dirty_tracking.alloc({
      hwpt_id: hwpt,
      flags: on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
    }),
  );
}

/** What is read of a page table's log. */
export interface DirtyRequest {
  /** The page table. */
  readonly hwpt: number;
  /** The first IOVA. */
  readonly iova: bigint;
  /** How many bytes. */
  readonly size: bigint;
  /** What a bit stands for, in bytes. */
  readonly pageSize: number;
  /** Gets the bits. */
  readonly bitmap: BitmapTarget;
  /** Whether the pages stay dirty. */
  readonly keep: boolean;
}

/** Reads a page table's log (`iommu_read_and_clear_dirty()`). */
export function readDirty(iommufd: IommufdFile, request: DirtyRequest): void {
  const { hwpt, iova, size, pageSize, bitmap, keep } = request;
  assertPageSize(pageSize);
  if (size <= 0n || size % BigInt(pageSize) !== 0n) {
    throw new RangeError(
      `Cannot read ${size} bytes: expected one or more pages of ${pageSize}`,
    );
  }
  if (iova % BigInt(pageSize) !== 0n) {
    throw new RangeError(
      `Cannot read from IOVA ${iova}: expected a multiple of ${pageSize}`,
    );
  }
  const need = (size / BigInt(pageSize) + 7n) / 8n;
  const { address, length } = addressOf(iommufd.kernel, bitmap);
  // The kernel does not say that it could not write its answer.
  if (BigInt(length) < need) {
    throw new RangeError(
      `Cannot read into ${length} bytes: the bitmap has ${need}`,
    );
  }
  iommufd.call(
    "read which pages are dirty",
    IOMMU_HWPT_GET_DIRTY_BITMAP,
    iommu_hwpt_get_dirty_bitmap.alloc({
      hwpt_id: hwpt,
      flags: keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
      iova,
      length: size,
      page_size: BigInt(pageSize),
      data: address,
    }),
  );
}

function addressOf(
  kernel: Kernel,
  bitmap: BitmapTarget,
): { address: bigint; length: number } {
  return bitmap instanceof Uint8Array
    ? { address: kernel.addressOf(bitmap), length: bitmap.length }
    : { address: bitmap.address, length: bitmap.size };
}

function assertPageSize(pageSize: number): void {
  const { isSafeInteger } = Number;
  if (
    isSafeInteger(pageSize) && pageSize > 0 &&
    (BigInt(pageSize) & BigInt(pageSize - 1)) === 0n
  ) return;
  throw new RangeError(`Cannot take ${pageSize} bytes a bit: expected 2^n`);
}
