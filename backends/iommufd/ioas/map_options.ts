import { hex } from "../../../lib/hex.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from "../../../lib/uapi/iommufd/ioas.ts";
import { explaining, refused } from "../core/refusal.ts";

/** Where memory is mapped in an IOAS, and for what. */
export interface IoasMapOptions {
  /** The IOVA. Default: the kernel chooses one. */
  readonly iova?: bigint;
  /**
   * Whether devices may write to it. They may always read.
   *
   * @default {true}
   */
  readonly writable?: boolean;
}

/** The flags of a mapping. */
export function flagsOf({ iova, writable = true }: IoasMapOptions): number {
  return IOMMU_IOAS_MAP_READABLE |
    (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0) |
    (iova === undefined ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA);
}

/** Explains why an IOAS refused a mapping (`iopt_map_pages()`). */
export function mapRefused(
  size: number | bigint,
  { iova }: IoasMapOptions,
  cause: unknown,
): unknown {
  const range = `${size} bytes` +
    (iova === undefined ? "" : ` at IOVA ${hex(iova)}`);
  const explained = explaining(cause, `cannot map ${range}: `);
  if (hasErrno(cause, "EEXIST")) {
    return explained("IOVA_OVERLAP", "something is mapped there");
  }
  if (hasErrno(cause, "ENOSPC")) {
    return explained("IOVA_EXHAUSTED", "no free IOVA range is large enough");
  }
  if (hasErrno(cause, "ENOENT")) {
    return explained("IOVA_OUT_OF_RANGE", "not all of it is mapped there");
  }
  if (hasErrno(cause, "EFAULT")) {
    return explained("NO_MEMORY", "the memory behind it is not there");
  }
  if (hasErrno(cause, "ENODEV")) {
    return explained(
      "INACCESSIBLE",
      "its device has revoked the dma-buf",
      "switch the device's memory decoding on, end its reset or its sleep, " +
        "and map it again",
    );
  }
  if (hasErrno(cause, "EPERM")) {
    return explained(
      "PERMISSION_DENIED",
      "it is read-only where it is copied from",
      "map it with { writable: false }",
    );
  }
  if (hasErrno(cause, "EINVAL", "EOVERFLOW", "EADDRINUSE")) {
    return explained(
      "IOVA_OUT_OF_RANGE",
      "an address or a size is not whole pages, or the IOMMU cannot translate it",
      "take an IOVA inside ioas.limits().ranges",
    );
  }
  return refused(cause, `map ${range}`);
}
