import { VfioError } from "../../lib/errors.ts";
import { hex } from "../../lib/hex.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import {
  iommu_ioas_map_file,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from "../../lib/uapi/iommufd/ioas.ts";
import { iovaOf } from "../../lib/uapi/layout.ts";
import type { DmaRange, FileRange } from "../backend.ts";

/** The argument that maps memory of a file. */
export function mapFileArgument(
  ioas_id: number,
  { page, bytes, writable }: DmaRange,
  { fd, offset }: FileRange,
): Uint8Array {
  return iommu_ioas_map_file.alloc({
    flags: IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
      (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
    ioas_id,
    fd,
    start: BigInt(offset),
    length: BigInt(bytes),
    iova: iovaOf(page),
  });
}

/**
 * Explains why the kernel did not map memory of a file
 * (`iopt_map_file_pages()` in `drivers/iommu/iommufd/io_pagetable.c`).
 *
 * @returns The error; `undefined` where that is not about the file.
 */
export function fileRefused(
  { page, bytes, file }: DmaRange,
  cause: unknown,
): VfioError | undefined {
  if (file === undefined) return undefined;
  const range = `${bytes} bytes of a file at IOVA ${hex(iovaOf(page))}`;
  if (hasErrno(cause, "ENODEV")) {
    return new VfioError("INACCESSIBLE", {
      problem: `cannot map ${range}: its device has revoked the dma-buf`,
      hint: "switch the device's memory decoding on, end its reset or its " +
        "sleep, and map it again",
      cause,
    });
  }
  if (hasErrno(cause, "ENOTTY", "EOPNOTSUPP")) {
    return new VfioError("NOT_SUPPORTED", {
      problem: `cannot map ${range}: the kernel maps no such file`,
      hint:
        "take a dma-buf of one range of a BAR with vfio-pci, or a file in " +
        "memory; and Linux 6.19 or later",
      cause,
    });
  }
  if (!hasErrno(cause, "EINVAL")) return undefined;
  return new VfioError("IOVA_OUT_OF_RANGE", {
    problem: `cannot map ${range}: it ends before, is no file in memory, or ` +
      "the IOMMU cannot translate the IOVA",
    hint: "take whole pages inside a memfd, and an IOVA inside " +
      "space.limits().ranges",
    cause,
  });
}
