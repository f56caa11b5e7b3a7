/**
 * `linux/vfio.h`: a device's own node (`/dev/vfio/devices/vfioN`) and its bond
 * with an iommufd.
 *
 * These structs grew. The smallest `argsz` that holds what the flags call for
 * is the one that every kernel accepts; it is exported beside each struct.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import {
  type I32,
  i32,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";
import { VFIO_BASE, VFIO_TYPE } from "./container.ts";

/** `token_uuid_ptr` is the address of a UUID of 16 bytes. */
export const vfio_device_bind_iommufd: Struct<{
  argsz: U32;
  flags: U32;
  iommufd: I32;
  out_devid: U32;
  token_uuid_ptr: U64;
}> = struct("vfio_device_bind_iommufd", {
  argsz: u32,
  flags: u32,
  iommufd: i32,
  out_devid: u32,
  token_uuid_ptr: u64,
});
/** `token_uuid_ptr` is valid. */
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1 << 0;
/** `argsz` where there is no token, 16. */
export const VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN: number =
  vfio_device_bind_iommufd.offset.token_uuid_ptr;

/** Undone by closing the device, and by nothing else. */
export const VFIO_DEVICE_BIND_IOMMUFD: Ioctl = io(
  "VFIO_DEVICE_BIND_IOMMUFD",
  VFIO_TYPE,
  VFIO_BASE + 18,
  vfio_device_bind_iommufd,
);

/** `pt_id` is an IOAS or a HWPT, and comes back as what was attached. */
export const vfio_device_attach_iommufd_pt: Struct<{
  argsz: U32;
  flags: U32;
  pt_id: U32;
  pasid: U32;
}> = struct("vfio_device_attach_iommufd_pt", {
  argsz: u32,
  flags: u32,
  pt_id: u32,
  pasid: u32,
});
/** `pasid` is valid. */
export const VFIO_DEVICE_ATTACH_PASID = 1 << 0;
/** `argsz` where there is no PASID, 12. */
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID: number =
  vfio_device_attach_iommufd_pt.offset.pasid;

/** Replaces, silently, what the device was attached to. */
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT: Ioctl = io(
  "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
  VFIO_TYPE,
  VFIO_BASE + 19,
  vfio_device_attach_iommufd_pt,
);

/** `flags` is 0, or VFIO_DEVICE_DETACH_PASID. */
export const vfio_device_detach_iommufd_pt: Struct<{
  argsz: U32;
  flags: U32;
  pasid: U32;
}> = struct("vfio_device_detach_iommufd_pt", {
  argsz: u32,
  flags: u32,
  pasid: u32,
});
/** `pasid` is valid. */
export const VFIO_DEVICE_DETACH_PASID = 1 << 0;
/** `argsz` where there is no PASID, 8. */
export const VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID: number =
  vfio_device_detach_iommufd_pt.offset.pasid;

/** Takes the device, or one PASID of it, off its page table. */
export const VFIO_DEVICE_DETACH_IOMMUFD_PT: Ioctl = io(
  "VFIO_DEVICE_DETACH_IOMMUFD_PT",
  VFIO_TYPE,
  VFIO_BASE + 20,
  vfio_device_detach_iommufd_pt,
);
