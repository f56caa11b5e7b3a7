import {
  iommu_ioas_copy,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_map_file,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  iommu_ioas_noiommu_get_pa,
  iommu_ioas_unmap,
  iommu_iova_range,
} from "../../uapi/iommufd/all.ts";
import type { Process } from "../fs/file.ts";
import { put32, put64, received } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";
import type { Objects } from "./object_table.ts";
import { Ioas, type IoasMapRequest } from "./ioas.ts";

const MAX = 0xffff_ffff_ffff_ffffn;
const ACCESS = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;

/** IOMMU_IOAS_IOVA_RANGES (`iommufd_ioas_iova_ranges()`). */
export function iovaRanges(
  objects: Objects,
  argument: Uint8Array | bigint,
  process: Process,
): number {
  const layout = iommu_ioas_iova_ranges;
  const request = received(layout, argument);
  if (request.__reserved !== 0) refuse("EOPNOTSUPP");
  const { ranges, alignment } = ioasOf(objects, request.ioas_id);
  const room = ranges.slice(0, request.num_iovas);
  if (room.length > 0) {
    const array = process.memory.buffer(request.allowed_iovas);
    for (const [i, range] of room.entries()) {
      iommu_iova_range.encode(array, range, i * iommu_iova_range.size);
    }
  }
  put32(argument, layout.offset.num_iovas, ranges.length);
  put64(argument, layout.offset.out_iova_alignment, alignment);
  return room.length < ranges.length ? refuse("EMSGSIZE") : 0;
}

/** IOMMU_IOAS_MAP (`iommufd_ioas_map()`). */
export function mapMemory(
  objects: Objects,
  argument: Uint8Array | bigint,
  process: Process,
): number {
  const map = received(iommu_ioas_map, argument);
  if (map.__reserved !== 0) refuse("EOPNOTSUPP");
  assertMapFlags(map);
  const request = { ...map, address: map.user_va };
  const iova = ioasOf(objects, map.ioas_id).mapUser(request, process);
  put64(argument, iommu_ioas_map.offset.iova, iova);
  return 0;
}

/** IOMMU_IOAS_MAP_FILE (`iommufd_ioas_map_file()`). */
export function mapFile(
  objects: Objects,
  argument: Uint8Array | bigint,
  process: Process,
): number {
  const map = received(iommu_ioas_map_file, argument);
  assertMapFlags(map);
  const ioas = ioasOf(objects, map.ioas_id);
  const file = process.file(map.fd);
  const request = { ...map, address: map.start, file };
  // Of a dma-buf it looks at all when it is mapped, of another file later.
  file.dmaBuf?.(Number(map.start), Number(map.length));
  const iova = ioas.mapUser(request, process);
  put64(argument, iommu_ioas_map_file.offset.iova, iova);
  return 0;
}

/** IOMMU_IOAS_COPY (`iommufd_ioas_copy()`). */
export function copyMapping(
  objects: Objects,
  argument: Uint8Array | bigint,
): number {
  const copy = received(iommu_ioas_copy, argument);
  const { flags, src_iova, dst_iova, length } = copy;
  if ((flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS)) !== 0) {
    refuse("EOPNOTSUPP");
  }
  if (length === MAX || src_iova === MAX || dst_iova === MAX) {
    refuse("EOVERFLOW");
  }
  if ((flags & ACCESS) === 0) refuse("EINVAL");
  const source = ioasOf(objects, copy.src_ioas_id);
  const iova = ioasOf(objects, copy.dst_ioas_id).copyFrom(source, copy);
  put64(argument, iommu_ioas_copy.offset.dst_iova, iova);
  return 0;
}

/** IOMMU_IOAS_UNMAP (`iommufd_ioas_unmap()`). */
export function unmapRange(
  objects: Objects,
  argument: Uint8Array | bigint,
): number {
  const unmap = received(iommu_ioas_unmap, argument);
  const bytes = ioasOf(objects, unmap.ioas_id).unmapRange(unmap);
  put64(argument, iommu_ioas_unmap.offset.length, bytes);
  return 0;
}

/** IOMMU_IOAS_NOIOMMU_GET_PA (`iommufd_ioas_noiommu_get_pa()`). */
export function getPhysical(
  objects: Objects,
  argument: Uint8Array | bigint,
  process: Process,
): number {
  const layout = iommu_ioas_noiommu_get_pa;
  const request = received(layout, argument);
  if (process.uid !== 0) refuse("EPERM");
  if (request.flags !== 0 || request.__reserved !== 0) refuse("EOPNOTSUPP");
  if (request.length === 0n) refuse("EINVAL");
  if (request.iova === MAX) refuse("EOVERFLOW");
  const { address, length } = ioasOf(objects, request.ioas_id)
    .locate(request.iova, request.length);
  put64(argument, layout.offset.length, length);
  put64(argument, layout.offset.out_phys, address);
  return 0;
}

/** The IOAS of a number. ENOENT where it is another object's. */
export function ioasOf(objects: Objects, id: number): Ioas {
  const object = objects.get(id);
  return object instanceof Ioas ? object : refuse("ENOENT");
}

function assertMapFlags(
  { flags, iova, length }: Omit<IoasMapRequest, "address">,
): void {
  if ((flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS)) !== 0) {
    refuse("EOPNOTSUPP");
  }
  if (iova === MAX || length === MAX) refuse("EOVERFLOW");
  if ((flags & ACCESS) === 0) refuse("EINVAL");
}
