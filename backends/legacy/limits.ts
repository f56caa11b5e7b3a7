import { intersection, max } from "../../lib/ranges.ts";
import {
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  vfio_iommu_type1_info_cap_migration,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from "../../lib/uapi/vfio/type1.ts";
import type { IommuLimits, IovaRange } from "../backend.ts";
import { infoCapabilities } from "../info.ts";

/**
 * Decodes what a container can translate.
 *
 * @param bytes A `vfio_iommu_type1_info` with its capabilities.
 */
export function decodeLimits(bytes: Uint8Array): IommuLimits {
  const info = vfio_iommu_type1_info.decode(bytes);
  let ranges: IovaRange[] = [{ start: 0n, last: 0xffff_ffff_ffff_ffffn }];
  let mappingsAvailable: number | undefined;
  for (const { id, at } of infoCapabilities(bytes, info.cap_offset)) {
    if (id === VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      ranges = decodeRanges(bytes, at);
    } else if (id === VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
      mappingsAvailable =
        vfio_iommu_type1_info_dma_avail.decode(bytes, at).avail;
    }
  }
  const alignment = lowestBit(info.iova_pgsizes);
  return { ranges, alignment, mappingsAvailable };
}

/**
 * Decodes what a bit stands for in a bitmap of the memory that devices write.
 *
 * @param bytes A `vfio_iommu_type1_info` with its capabilities.
 * @returns Bytes; `undefined` where the kernel has no such bitmaps.
 */
export function decodeDirtyPageSize(bytes: Uint8Array): number | undefined {
  const { cap_offset } = vfio_iommu_type1_info.decode(bytes);
  for (const { id, at } of infoCapabilities(bytes, cap_offset)) {
    if (id !== VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION) continue;
    const layout = vfio_iommu_type1_info_cap_migration;
    return Number(lowestBit(layout.decode(bytes, at).pgsize_bitmap));
  }
  return undefined;
}

/** The smallest page size of a set of them. */
function lowestBit(bits: bigint): bigint {
  return bits & -bits;
}

function decodeRanges(bytes: Uint8Array, at: number): IovaRange[] {
  const layout = vfio_iommu_type1_info_cap_iova_range;
  const { nr_iovas } = layout.decode(bytes, at);
  return vfio_iova_range
    .decodeArray(bytes, nr_iovas, at + layout.offset.iova_ranges)
    .map(({ start, end }) => ({ start, last: end }));
}

/** What both of two containers can translate. */
export function commonLimits(a: IommuLimits, b: IommuLimits): IommuLimits {
  return {
    ranges: intersection(a.ranges, b.ranges),
    alignment: max(a.alignment, b.alignment),
    mappingsAvailable: smaller(a.mappingsAvailable, b.mappingsAvailable),
  };
}

function smaller(
  a: number | undefined,
  b: number | undefined,
): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
