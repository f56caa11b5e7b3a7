/**
 * Why a driver did not bind a device.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasErrno, KernelError } from "../../kernel/errno.ts";
import type { HostDevice } from "../device.ts";
import { openers } from "../openers.ts";
import { exists } from "../sysfs.ts";
import { busyError, groupNodes } from "./in_use.ts";
import { isOverridable } from "./override.ts";

/**
 * The error for a driver that did not bind a device.
 *
 * @param device The device.
 * @param driver The driver.
 * @param failure What the write to `bind` threw, if it threw.
 * @returns `PERMISSION_DENIED`, `DEVICE_NOT_FOUND`, `DEVICE_BUSY` or
 * `DRIVER_FAILED`.
 */
export function bindError(
  device: HostDevice,
  driver: string,
  failure: unknown,
): unknown {
  const { name, path, bus, host: { kernel } } = device;
  const cause = causeOf(failure);
  if (hasErrno(cause, "EACCES", "EPERM", "EROFS")) return failure;
  if (!exists(kernel, path)) {
    return new VfioError("DEVICE_NOT_FOUND", {
      device: name,
      problem: "it was removed from the host meanwhile",
      cause,
    });
  }
  const nodes = groupNodes(device);
  const holders = openers(kernel, nodes);
  if (hasErrno(cause, "EBUSY") && holders.length > 0) {
    return busyError(device, nodes, holders, cause);
  }
  const isGone = hasErrno(cause, "ENOENT") &&
    !exists(kernel, `/sys/bus/${bus}/drivers/${driver}`);
  return new VfioError("DRIVER_FAILED", {
    device: name,
    problem: `the driver ${driver} did not take it` +
      (isGone ? " and is no longer loaded" : ""),
    hint: refusalHint(device, driver, cause),
    cause,
  });
}

function refusalHint(
  device: HostDevice,
  driver: string,
  cause: KernelError | undefined,
): string {
  const { name, bus } = device;
  // vfio_platform_init_common() in drivers/vfio/platform/vfio_platform_common.c
  if (hasErrno(cause, "ENOENT") && driver === "vfio-platform") {
    return "vfio-platform has no reset for it; if it needs none, load that " +
      "module with reset_required=0";
  }
  if (hasErrno(cause, "ENODEV") && !isOverridable(device)) {
    return `the ${bus} bus has no driver_override: only a driver that knows ` +
      "the device by its id binds it";
  }
  return `the kernel's log says why: dmesg | grep ${name}`;
}

/** The kernel's answer behind an error, if it comes from the kernel. */
export function causeOf(error: unknown): KernelError | undefined {
  const cause = error instanceof VfioError ? error.cause : error;
  return cause instanceof KernelError ? cause : undefined;
}
