/**
 * Arguments of mapping calls, as iommufd checks them before it looks at what
 * they are about (`drivers/iommu/iommufd/ioas.c`).
 *
 * @module
 */

import {
  iommu_ioas_copy,
  iommu_ioas_map,
  iommu_ioas_map_file,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from "../../uapi/iommufd/all.ts";
import { received } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";

const MAX = 0xffff_ffff_ffff_ffffn;
const ACCESS = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;

/** IOMMU_IOAS_MAP. */
export function mapRequest(argument: Uint8Array | bigint) {
  const map = received(iommu_ioas_map, argument);
  if (map.__reserved !== 0) refuse("EOPNOTSUPP");
  assertRequest(map.flags, map.iova, map.length);
  return { ...map, address: map.user_va };
}

/** IOMMU_IOAS_MAP_FILE. */
export function mapFileRequest(argument: Uint8Array | bigint) {
  const map = received(iommu_ioas_map_file, argument);
  assertRequest(map.flags, map.iova, map.length);
  return { ...map, address: map.start };
}

/** IOMMU_IOAS_COPY. */
export function copyRequest(argument: Uint8Array | bigint) {
  const copy = received(iommu_ioas_copy, argument);
  assertRequest(copy.flags, copy.src_iova, copy.dst_iova, copy.length);
  return copy;
}

function assertRequest(flags: number, ...numbers: bigint[]): void {
  if ((flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS)) !== 0) {
    refuse("EOPNOTSUPP");
  }
  if (numbers.includes(MAX)) refuse("EOVERFLOW");
  if ((flags & ACCESS) === 0) refuse("EINVAL");
}
