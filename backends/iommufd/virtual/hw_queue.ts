import { hasErrno } from "../../../lib/kernel/errno.ts";
import { hex } from "../../../lib/hex.ts";
import {
  IOMMU_HW_QUEUE_ALLOC,
  iommu_hw_queue_alloc,
} from "../../../lib/uapi/iommufd/viommu.ts";
import { IommufdObject } from "../core/object.ts";
import { explaining } from "../core/refusal.ts";
import type { Viommu } from "./viommu.ts";

/** What a hardware queue is. */
export interface HwQueueRequest {
  /** Its kind, as `IOMMU_HW_QUEUE_TYPE_*`. */
  readonly type: number;
  /** Its number, from 0 up without a gap. */
  readonly index: number;
  /** Where it lies in the guest's memory, in bytes: contiguous pages. */
  readonly iova: bigint;
  /** Its length in bytes. */
  readonly size: number | bigint;
}

/**
 * A queue of the physical IOMMU that a guest is given. Its memory stays pinned,
 * and cannot be unmapped.
 */
export class HwQueue extends IommufdObject {
  /** The guest's IOMMU. */
  readonly viommu: Viommu;
  /** Its number there. */
  readonly index: number;

  private constructor(
    id: number,
    viommu: Viommu,
    index: number,
    before: HwQueue | undefined,
  ) {
    super(
      viommu.iommufd,
      "hardware queue",
      id,
      before === undefined ? [viommu] : [viommu, before],
    );
    this.viommu = viommu;
    this.index = index;
  }

  /**
   * Makes one.
   *
   * @param viommu The guest's IOMMU.
   * @param request What it is.
   * @throws {VfioError} `IN_USE` where the index has one, `NOT_SUPPORTED` where
   * the IOMMU has no such queue or the one before it is not there,
   * `IOVA_OUT_OF_RANGE` where its memory is not mapped or not contiguous,
   * `NO_MEMORY`, `DETACHED`, `KERNEL`.
   */
  static allocate(viommu: Viommu, request: HwQueueRequest): HwQueue {
    const { type, index, iova, size } = request;
    const argument = iommu_hw_queue_alloc.alloc({
      viommu_id: viommu.id,
      type,
      index,
      nesting_parent_iova: iova,
      length: BigInt(size),
    });
    try {
      viommu.iommufd
        .call("allocate a hardware queue", IOMMU_HW_QUEUE_ALLOC, argument);
    } catch (error) {
      throw explain(viommu, request, error);
    }
    const { out_hw_queue_id } = iommu_hw_queue_alloc.decode(argument);
    const before = viommu.keepers.values().find((user): user is HwQueue =>
      user instanceof HwQueue && user.index === index - 1
    );
    return new HwQueue(out_hw_queue_id, viommu, index, before);
  }
}

function explain(
  viommu: Viommu,
  { index, iova, size }: HwQueueRequest,
  error: unknown,
): unknown {
  const { cause } = error as Error;
  const explained = explaining(cause);
  if (hasErrno(cause, "EEXIST")) {
    return explained(
      "IN_USE",
      `${viommu.name} has a hardware queue ${index} already`,
      "destroy that first, and those behind it",
    );
  }
  if (hasErrno(cause, "ENOENT", "EFAULT", "ERANGE")) {
    return explained(
      "IOVA_OUT_OF_RANGE",
      `a hardware queue of ${size} bytes at ${hex(iova)} is not mapped, or ` +
        "not contiguous in memory",
      "map it in the IOAS of the parent, as one huge page",
    );
  }
  if (hasErrno(cause, "EIO", "EINVAL")) {
    return explained(
      "NOT_SUPPORTED",
      `${viommu.name} has no hardware queue ${index} of this kind`,
      "allocate them from index 0 up",
    );
  }
  return error;
}
