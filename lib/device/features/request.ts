/**
 * VFIO_DEVICE_FEATURE, the one ioctl of all features.
 *
 * @module
 */

import { toVfioError, VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import type { Fd } from "../../kernel/fd.ts";
import {
  VFIO_DEVICE_FEATURE,
  vfio_device_feature,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
} from "../../uapi/vfio/feature_ioctl.ts";

/** Whether a feature is read or set. */
export type FeatureDirection = "get" | "set";

const DIRECTIONS: Readonly<Record<FeatureDirection, number>> = {
  get: VFIO_DEVICE_FEATURE_GET,
  set: VFIO_DEVICE_FEATURE_SET,
};

const NONE = new Uint8Array();
const { data: HEAD } = vfio_device_feature.offset;

/**
 * Makes the argument of the ioctl.
 *
 * @param flags The feature's number, and `VFIO_DEVICE_FEATURE_*` bits.
 * @param data What follows.
 */
function argumentOf(flags: number, data: Uint8Array = NONE): Uint8Array {
  const argument = vfio_device_feature.alloc({ flags }, data.length);
  argument.set(data, HEAD);
  return argument;
}

/**
 * Asks whether a feature exists, or can be read or set.
 *
 * @param fd The device.
 * @param feature The feature's number.
 * @param direction Which of both. Default: whether it exists.
 * @throws {KernelError} `ENOTTY` or `EOPNOTSUPP` if it does not exist, `EINVAL`
 * if it cannot be read or set, `EIO` if the device could not be woken.
 */
export function probe(
  fd: Pick<Fd, "ioctl">,
  feature: number,
  direction?: FeatureDirection,
): void {
  const way = direction === undefined ? 0 : DIRECTIONS[direction];
  const flags = feature | VFIO_DEVICE_FEATURE_PROBE | way;
  fd.ioctl(VFIO_DEVICE_FEATURE, argumentOf(flags));
}

/**
 * Reads or sets a feature. The kernel's answer is put into `data`.
 *
 * @param fd The device.
 * @param feature The feature's number.
 * @param direction Which of both.
 * @param data The feature's struct.
 * @returns What the ioctl returned.
 */
export function request(
  fd: Pick<Fd, "ioctl">,
  feature: number,
  direction: FeatureDirection,
  data: Uint8Array = NONE,
): number {
  const argument = argumentOf(feature | DIRECTIONS[direction], data);
  try {
    return fd.ioctl(VFIO_DEVICE_FEATURE, argument);
  } finally {
    data.set(argument.subarray(HEAD));
    // It may have been a secret.
    argument.fill(0);
  }
}

/** As {@linkcode request}, for a feature that can take long. */
export async function requestAsync(
  fd: Fd,
  feature: number,
  direction: FeatureDirection,
  data: Uint8Array = NONE,
): Promise<number> {
  const argument = argumentOf(feature | DIRECTIONS[direction], data);
  try {
    return await fd.ioctlAsync(VFIO_DEVICE_FEATURE, argument);
  } finally {
    data.set(argument.subarray(HEAD));
  }
}

/**
 * Returns the descriptor of a device; `undefined` once it is detached, which
 * ends what its features began.
 *
 * @param device The device.
 */
export function openHandle(device: { readonly handle: Fd }): Fd | undefined {
  try {
    return device.handle;
  } catch (error) {
    if (error instanceof VfioError && error.code === "DETACHED") {
      return undefined;
    }
    throw error;
  }
}

/**
 * Explains why the kernel refused a feature.
 *
 * @param device The device.
 * @param feature What it is, as in "it has no VF token".
 * @param doing What was being done, as in "cannot set the VF token".
 * @param cause The kernel's answer.
 */
export function featureRefused(
  { name }: { readonly name: string },
  feature: string,
  doing: string,
  cause: unknown,
): unknown {
  if (!hasErrno(cause, "ENOTTY", "EOPNOTSUPP")) {
    return toVfioError(cause, doing, name);
  }
  return new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: `it has no ${feature}`,
    hint: "features.list() has what its driver and this kernel offer",
    cause,
  });
}
