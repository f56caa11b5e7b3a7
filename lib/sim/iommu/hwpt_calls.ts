import {
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  iommu_hw_info,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  iommu_hw_info_vtd,
  iommu_hwpt_alloc,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_FAULT_ID_VALID,
  iommu_hwpt_get_dirty_bitmap,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  iommu_hwpt_invalidate,
  iommu_hwpt_set_dirty_tracking,
} from "../../uapi/iommufd/all.ts";
import { Device } from "../driver/bus.ts";
import type { Process } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { put32, received } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";
import { Ioas } from "./ioas.ts";
import type { Iommu } from "./iommu.ts";
import type { Objects } from "./object_table.ts";
import { FaultQueue } from "./queue_calls.ts";
import { PageTable } from "./page_table.ts";

const LAST = 0xffff_ffff_ffff_ffffn;

/** What the driver of each IOMMU tells of the hardware, and how many bytes. */
const HARDWARE: Readonly<
  Record<Iommu["kind"], { readonly type: number; readonly size: number }>
> = {
  dmar: {
    type: IOMMU_HW_INFO_TYPE_INTEL_VTD,
    size: iommu_hw_info_vtd.size,
  },
  // With CONFIG_AMD_IOMMU_IOMMUFD it would tell its registers.
  ivhd: { type: IOMMU_HW_INFO_TYPE_NONE, size: 0 },
  virtio: { type: IOMMU_HW_INFO_TYPE_NONE, size: 0 },
};

/** The flags of a page table that the driver of each IOMMU may take. */
const DRIVER_FLAGS: Readonly<Record<Iommu["kind"], number>> = {
  dmar: IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_FAULT_ID_VALID |
    IOMMU_HWPT_ALLOC_PASID,
  // Its PASIDs take page tables of the guest's format, which not all have.
  ivhd: IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_FAULT_ID_VALID,
  virtio: 0,
};

/** IOMMU_GET_HW_INFO (`iommufd_get_hw_info()`). */
export function getHwInfo(
  machine: Machine,
  objects: Objects,
  argument: Uint8Array | bigint,
  process: Process,
): number {
  const layout = iommu_hw_info;
  const request = received(layout, argument, 32);
  const takesType = machine.since(6, 19);
  const known = takesType ? IOMMU_HW_INFO_FLAG_INPUT_TYPE : 0;
  if ((request.flags & ~known) !== 0) refuse("EOPNOTSUPP");
  if (request.__reserved.some((byte) => byte !== 0)) refuse("EOPNOTSUPP");
  if (!(objects.get(request.dev_id) instanceof Device)) return refuse("ENOENT");
  const device = objects.get(request.dev_id) as Device;
  if (device.group!.kind === "emulated") return refuse("ENOENT");
  if (device.group!.noIommu) return refuse("EOPNOTSUPP");
  const { kind, dirtyTracking } = machine.iommu!;
  const { type, size } = HARDWARE[kind];
  const asked = (request.flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE) === 0
    ? IOMMU_HW_INFO_TYPE_DEFAULT
    : request.in_data_type;
  // A driver that tells nothing does not look at what is asked for.
  if (
    type !== IOMMU_HW_INFO_TYPE_NONE &&
    asked !== IOMMU_HW_INFO_TYPE_DEFAULT && asked !== type
  ) return refuse("EOPNOTSUPP");
  if (request.data_len > 0) {
    // Registers that say nothing: none of the features is there.
    process.memory.buffer(request.data_uptr).fill(0, 0, request.data_len);
  }
  const { offset } = layout;
  put32(argument, offset.data_len, size);
  put32(argument, offset.out_data_type, type);
  const capabilities = (dirtyTracking ? IOMMU_HW_CAP_DIRTY_TRACKING : 0) |
    IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;
  put32(argument, offset.out_capabilities, capabilities);
  put32(argument, offset.out_capabilities + 4, 0);
  return 0;
}

/** IOMMU_HWPT_ALLOC (`iommufd_hwpt_alloc()`). */
export function allocateHwpt(
  machine: Machine,
  objects: Objects,
  argument: Uint8Array | bigint,
): number {
  const request = received(iommu_hwpt_alloc, argument, 24);
  const { flags, data_type, data_len } = request;
  if (request.__reserved !== 0) refuse("EOPNOTSUPP");
  if ((data_type === IOMMU_HWPT_DATA_NONE) !== (data_len === 0)) {
    refuse("EINVAL");
  }
  const device = objects.get(request.dev_id);
  if (!(device instanceof Device) || device.group!.kind === "emulated") {
    return refuse("ENOENT");
  }
  const parent = objects.get(request.pt_id);
  // None can be a parent. Only Intel's driver nests without a virtual IOMMU.
  if (parent instanceof PageTable) {
    const known = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID;
    const lacks = (flags & ~known) !== 0 || data_len === 0 ||
      machine.iommu?.kind !== "dmar";
    return refuse(lacks ? "EOPNOTSUPP" : "EINVAL");
  }
  if (!(parent instanceof Ioas)) return refuse("EINVAL");
  if (device.group!.noIommu) return refuse("EOPNOTSUPP");
  const tracks = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  const hasQueue = (flags & IOMMU_HWPT_FAULT_ID_VALID) !== 0;
  if (
    (flags & ~DRIVER_FLAGS[machine.iommu!.kind]) !== 0 || data_len > 0 ||
    tracks && !machine.iommu!.dirtyTracking
  ) refuse("EOPNOTSUPP");
  parent.addTable(true);
  const faults = hasQueue ? objects.get(request.fault_id) : undefined;
  if (hasQueue && !(faults instanceof FaultQueue)) {
    parent.removeTable(true);
    return refuse("ENOENT");
  }
  const queue = faults as FaultQueue | undefined;
  if (queue !== undefined) queue.users++;
  const table = new PageTable(parent, true, {
    tracks,
    faults: queue,
    needsRequests: machine.iommu!.kind === "dmar",
  });
  put32(argument, iommu_hwpt_alloc.offset.out_hwpt_id, objects.add(table));
  return 0;
}

/** IOMMU_HWPT_SET_DIRTY_TRACKING (`iopt_set_dirty_tracking()`). */
export function setDirtyTracking(
  objects: Objects,
  argument: Uint8Array | bigint,
): number {
  const { flags, hwpt_id } = received(iommu_hwpt_set_dirty_tracking, argument);
  if ((flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) refuse("EOPNOTSUPP");
  const { dirty } = tableOf(objects, hwpt_id);
  if (dirty === undefined) return refuse("EOPNOTSUPP");
  dirty.pages.clear();
  dirty.on = (flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0;
  return 0;
}

/**
 * IOMMU_HWPT_GET_DIRTY_BITMAP (`iopt_read_and_clear_dirty_data()`). The result
 * of the walk is lost: it ends at a hole, and succeeds.
 */
export function getDirtyBitmap(
  objects: Objects,
  argument: Uint8Array | bigint,
  process: Process,
): number {
  const request = received(iommu_hwpt_get_dirty_bitmap, argument);
  const { flags, iova, length, page_size, data } = request;
  const keeps = (flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0;
  if (
    (flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 ||
    request.__reserved !== 0
  ) refuse("EOPNOTSUPP");
  const { dirty, ioas } = tableOf(objects, request.hwpt_id);
  if (dirty === undefined) return refuse("EOPNOTSUPP");
  if (length === 0n) refuse("EINVAL");
  const last = iova + length - 1n;
  if (last > LAST) refuse("EOVERFLOW");
  for (const unit of [ioas.alignment, page_size]) {
    if (unit === 0n) refuse("EINVAL");
    if (((iova | last + 1n) & (unit - 1n)) !== 0n) refuse("EINVAL");
  }
  if (!dirty.on) return 0;
  const end = ioas.map.gapFrom(iova, last);
  if (end === iova) return 0;
  const bits = process.memory.buffer(data);
  for (const at of dirty.pages.within(iova, end - 1n)) {
    const bit = Number((at - iova) / page_size);
    bits[bit >> 3]! |= 1 << bit % 8;
  }
  if (!keeps) dirty.pages.forget(iova, end - 1n);
  return 0;
}

/** IOMMU_HWPT_INVALIDATE (`iommufd_hwpt_invalidate()`): nothing is nested. */
export function invalidate(
  objects: Objects,
  argument: Uint8Array | bigint,
): number {
  const layout = iommu_hwpt_invalidate;
  const request = received(layout, argument);
  put32(argument, layout.offset.entry_num, 0);
  if (request.__reserved !== 0) refuse("EOPNOTSUPP");
  const { entry_num, entry_len, data_uptr } = request;
  if (
    entry_num > 0 &&
    (data_uptr === 0n || entry_len === 0 || entry_len > 4096 ||
      entry_num > 2 ** 19)
  ) refuse("EINVAL");
  return refuse(
    objects.get(request.hwpt_id) === undefined ? "ENOENT" : "EINVAL",
  );
}

function tableOf(objects: Objects, id: number): PageTable {
  const table = objects.get(id);
  return table instanceof PageTable ? table : refuse("ENOENT");
}
