import { VfioError } from "../../../lib/errors.ts";
import { hex } from "../../../lib/hex.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import {
  IOMMU_IOAS_ALLOW_IOVAS,
  iommu_ioas_allow_iovas,
  iommu_iova_range,
} from "../../../lib/uapi/iommufd/ioas.ts";
import type { IovaRange } from "../../backend.ts";
import type { IommufdFile } from "../core/iommufd_file.ts";
import { refused } from "../core/refusal.ts";

/** Says which IOVAs an IOAS uses at most. */
export function allowIovas(
  iommufd: IommufdFile,
  ioas: number,
  ranges: readonly IovaRange[],
): void {
  assertApart(ranges);
  const bytes = new Uint8Array(ranges.length * iommu_iova_range.size);
  for (const [i, range] of ranges.entries()) {
    iommu_iova_range.encode(bytes, range, i * iommu_iova_range.size);
  }
  const argument = iommu_ioas_allow_iovas.alloc({
    ioas_id: ioas,
    num_iovas: ranges.length,
    ...ranges.length > 0
      ? { allowed_iovas: iommufd.kernel.addressOf(bytes) }
      : {},
  });
  iommufd.assertOpen();
  try {
    iommufd.fd.ioctl(IOMMU_IOAS_ALLOW_IOVAS, argument);
  } catch (error) {
    if (!hasErrno(error, "EADDRINUSE")) {
      throw refused(error, "say which IOVAs are used");
    }
    throw new VfioError("IOVA_OUT_OF_RANGE", {
      problem: "cannot use these IOVAs: a device has a reserved window there",
      hint: "take IOVAs inside ioas.limits().ranges",
      cause: error,
    });
  } finally {
    // The kernel has its address: this keeps it alive until here.
    bytes.fill(0);
  }
}

function assertApart(ranges: readonly IovaRange[]): void {
  const sorted = ranges.toSorted((a, b) => a.start < b.start ? -1 : 1);
  for (const [i, { start, last }] of sorted.entries()) {
    const next = sorted[i + 1];
    // The kernel takes no range of a single byte.
    if (start >= last || (next !== undefined && last >= next.start)) {
      throw new RangeError(
        `Cannot allow IOVAs ${hex(start)} to ${hex(last)}: expected ranges ` +
          "that are not empty and do not overlap",
      );
    }
  }
}
