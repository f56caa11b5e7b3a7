import type { Region } from "../regions/region.ts";

/** A picture of a display: the whole of it, an overlay, or the pointer. */
export type PlaneType = "cursor" | "overlay" | "primary";

/**
 * Where a plane's pixels are: in a region, or in a dma-buf with this number.
 */
export type PlaneSource =
  | { readonly region: Region }
  | { readonly dmaBuf: number };

/** What a display shows now (`VFIO_DEVICE_QUERY_GFX_PLANE`). */
export interface Plane {
  /** What it is. */
  readonly type: PlaneType;
  /**
   * How a pixel is stored, as the four characters of `drm_fourcc.h`: `"XR24"`
   * is blue, green, red and an unused byte.
   */
  readonly format: string;
  /** How pixels are arranged, `DRM_FORMAT_MOD_*`; 0n is row by row. */
  readonly modifier: bigint;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Bytes from the beginning of a row to that of the next. */
  readonly stride: number;
  /** Bytes of all. */
  readonly size: number;
  /** Where its left edge is, in pixels; of a pointer. */
  readonly x: number;
  /** Where its upper edge is, in pixels; of a pointer. */
  readonly y: number;
  /** The place of a pointer that points, in pixels from its left edge. */
  readonly hotX: number;
  /** The place of a pointer that points, in pixels from its upper edge. */
  readonly hotY: number;
  /** Where its pixels are. */
  readonly source: PlaneSource;
}
