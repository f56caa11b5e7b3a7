/**
 * `linux/vfio.h`: the display of a virtual GPU.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import {
  type Overlay,
  overlay,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";
import { VFIO_BASE, VFIO_TYPE } from "./container.ts";

/** `region_index` for a plane in a region, else `dmabuf_id`. */
export const vfio_device_gfx_plane_info: Struct<{
  argsz: U32;
  flags: U32;
  drm_plane_type: U32;
  drm_format: U32;
  drm_format_mod: U64;
  width: U32;
  height: U32;
  stride: U32;
  size: U32;
  x_pos: U32;
  y_pos: U32;
  x_hot: U32;
  y_hot: U32;
  region_index: U32;
  dmabuf_id: Overlay<number>;
  reserved: U32;
}> = struct("vfio_device_gfx_plane_info", {
  argsz: u32,
  flags: u32,
  drm_plane_type: u32,
  drm_format: u32,
  drm_format_mod: u64,
  width: u32,
  height: u32,
  stride: u32,
  size: u32,
  x_pos: u32,
  y_pos: u32,
  x_hot: u32,
  y_hot: u32,
  region_index: u32,
  dmabuf_id: overlay("region_index", u32),
  reserved: u32,
});
/** Only ask whether the other flag's way is supported. */
export const VFIO_GFX_PLANE_TYPE_PROBE = 1 << 0;
/** The plane is a dma-buf. */
export const VFIO_GFX_PLANE_TYPE_DMABUF = 1 << 1;
/** The plane is in a region. */
export const VFIO_GFX_PLANE_TYPE_REGION = 1 << 2;

/** What the guest shows now, and where it is. */
export const VFIO_DEVICE_QUERY_GFX_PLANE: Ioctl = io(
  "VFIO_DEVICE_QUERY_GFX_PLANE",
  VFIO_TYPE,
  VFIO_BASE + 14,
  vfio_device_gfx_plane_info,
);

/** Takes a `dmabuf_id`, answers an fd. */
export const VFIO_DEVICE_GET_GFX_DMABUF: Ioctl = io(
  "VFIO_DEVICE_GET_GFX_DMABUF",
  VFIO_TYPE,
  VFIO_BASE + 15,
  "u32",
);
