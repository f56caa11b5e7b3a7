import { infoCapabilities, readInfo } from "../../../backends/info.ts";
import {
  VFIO_DEVICE_GET_REGION_INFO,
  vfio_region_info,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from "../../uapi/vfio/device.ts";
import {
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  vfio_region_info_cap_sparse_mmap,
  VFIO_REGION_INFO_CAP_TYPE,
  vfio_region_info_cap_type,
  vfio_region_sparse_mmap_area,
} from "../../uapi/vfio/region.ts";
import type { RegionType } from "./region_type.ts";

/** A part of a region, in bytes. */
export interface Area {
  /** Where it begins in the region. */
  readonly offset: number;
  /** How long it is. */
  readonly size: number;
}

/** What the kernel says of a region (`VFIO_DEVICE_GET_REGION_INFO`). */
export interface RegionInfo {
  /** Where the region begins in the device's file. */
  readonly start: bigint;
  /** Bytes in it; 0 where the device has no such region. */
  readonly size: number;
  /** Whether it can be read. */
  readonly readable: boolean;
  /** Whether it can be written. */
  readonly writable: boolean;
  /** The parts that can be mapped; empty where there are none. */
  readonly mappable: readonly Area[];
  /** Its type, where the device's driver adds it. */
  readonly type: RegionType | undefined;
  /** Whether it can be mapped although the MSI-X table is in it. */
  readonly msixMappable: boolean;
}

/**
 * Reads the info of a region and its capabilities.
 *
 * @param ask Makes the ioctl with these bytes.
 * @param index The region.
 * @throws {KernelError} What the kernel answers.
 */
export function readRegionInfo(
  ask: (
    operation: typeof VFIO_DEVICE_GET_REGION_INFO,
    argument: Uint8Array,
  ) => void,
  index: number,
): RegionInfo {
  const bytes = readInfo(
    (argument) => ask(VFIO_DEVICE_GET_REGION_INFO, argument),
    vfio_region_info,
    { index },
  );
  const info = vfio_region_info.decode(bytes);
  const size = Number(info.size);
  let areas: readonly Area[] = [{ offset: 0, size }];
  let type: RegionType | undefined;
  let msixMappable = false;
  for (const { id, at } of infoCapabilities(bytes, info.cap_offset)) {
    if (id === VFIO_REGION_INFO_CAP_SPARSE_MMAP) areas = sparse(bytes, at);
    else if (id === VFIO_REGION_INFO_CAP_TYPE) type = typeAt(bytes, at);
    else if (id === VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) msixMappable = true;
  }
  const has = (flag: number) => (info.flags & flag) !== 0;
  return {
    start: info.offset,
    size,
    readable: has(VFIO_REGION_INFO_FLAG_READ),
    writable: has(VFIO_REGION_INFO_FLAG_WRITE),
    mappable: has(VFIO_REGION_INFO_FLAG_MMAP) ? areas : [],
    type,
    msixMappable,
  };
}

function sparse(bytes: Uint8Array, at: number): Area[] {
  const layout = vfio_region_info_cap_sparse_mmap;
  const { nr_areas } = layout.decode(bytes, at);
  return vfio_region_sparse_mmap_area
    .decodeArray(bytes, nr_areas, at + layout.offset.areas)
    .map(({ offset, size }) => ({
      offset: Number(offset),
      size: Number(size),
    }));
}

function typeAt(bytes: Uint8Array, at: number): RegionType {
  const { type, subtype } = vfio_region_info_cap_type.decode(bytes, at);
  return { type, subtype };
}
