import {
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
} from "../../../uapi/vfio/feature_ioctl.ts";
import type { Process } from "../../fs/file.ts";
import { refuse } from "../../process/refusal.ts";

/** Read the feature. */
export const GET = VFIO_DEVICE_FEATURE_GET;
/** Set the feature. */
export const SET = VFIO_DEVICE_FEATURE_SET;
/** Only ask whether that is supported. */
export const PROBE = VFIO_DEVICE_FEATURE_PROBE;

/** What is asked of a feature. */
export interface FeatureRequest {
  /** {@linkcode GET}, {@linkcode SET} and {@linkcode PROBE}. */
  readonly flags: number;
  /** The feature's struct. */
  readonly data: Uint8Array;
  /** The caller. */
  readonly process: Process;
}

/**
 * Checks a request (`vfio_check_feature()` in `include/linux/vfio.h`).
 *
 * @param request The request.
 * @param ways {@linkcode GET} and {@linkcode SET}, as far as supported.
 * @param least The size of the struct.
 * @returns Whether it is to be carried out.
 */
export function isAsked(
  { flags, data }: FeatureRequest,
  ways: number,
  least = 0,
): boolean {
  if ((flags & (GET | SET) & ~ways) !== 0) refuse("EINVAL");
  if ((flags & PROBE) !== 0) return false;
  if ((flags & (GET | SET)) === 0 || data.length < least) refuse("EINVAL");
  return true;
}
