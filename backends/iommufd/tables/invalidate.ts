import { VfioError } from "../../../lib/errors.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import {
  IOMMU_HWPT_INVALIDATE,
  iommu_hwpt_invalidate,
} from "../../../lib/uapi/iommufd/hwpt.ts";
import type { IommufdObject } from "../core/object.ts";

/** Requests to drop what an IOMMU has cached. */
export interface Invalidations {
  /** What the entries are: one of the kernel's `IOMMU_*_INVALIDATE_DATA_*`. */
  readonly type: number;
  /** The entries, one after the other. */
  readonly bytes: Uint8Array;
  /** The size of an entry, in bytes. */
  readonly entrySize: number;
}

/** An IOMMU refused a request to drop what it has cached. */
export class InvalidationError extends VfioError {
  /** How many of the requests before it were carried out. */
  readonly done: number;

  /**
   * Makes the error.
   *
   * @param name What the request was made to.
   * @param done How many were carried out.
   * @param count How many there were.
   * @param cause The kernel's answer.
   */
  constructor(name: string, done: number, count: number, cause: unknown) {
    super("KERNEL", {
      problem: `${name} carried out ${done} of ${count} invalidations`,
      hint: "see what the kind of IOMMU takes",
      cause,
    });
    this.done = done;
  }
}

/** Drops what an IOMMU has cached of a nested page table, or a virtual IOMMU. */
export function invalidate(
  object: IommufdObject,
  { type, bytes, entrySize }: Invalidations,
): void {
  const count = bytes.length / entrySize;
  if (!Number.isInteger(count)) {
    throw new RangeError(
      `Cannot take ${bytes.length} bytes: expected entries of ${entrySize}`,
    );
  }
  const { iommufd } = object;
  const argument = iommu_hwpt_invalidate.alloc({
    hwpt_id: object.id,
    data_type: type,
    entry_len: entrySize,
    entry_num: count,
    ...count === 0 ? {} : { data_uptr: iommufd.kernel.addressOf(bytes) },
  });
  try {
    iommufd.fd.ioctl(IOMMU_HWPT_INVALIDATE, argument);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const { entry_num } = iommu_hwpt_invalidate.decode(argument);
    // Where it refused the call as such, it has not written what was done.
    const done = entry_num < count ? entry_num : 0;
    throw new InvalidationError(object.name, done, count, error);
  }
}
