/**
 * How a process says that it releases a device when the kernel asks it to. The
 * kernel does not tell: unbinding a device from VFIO waits for whoever has it
 * open, who may never heed the request.
 *
 * @module
 */

import { Fd } from "../kernel/fd.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { MFD_CLOEXEC } from "../uapi/linux/memfd.ts";
import { openFiles } from "./openers.ts";

/** The name of an empty file in memory, as `/proc` shows it. */
function markOf(device: string): string {
  return `passthru releases ${device}`;
}

/**
 * Says of this process that it releases a device on request, until that is
 * closed.
 *
 * @param kernel The system.
 * @param device The device's name.
 */
export function markRelease(kernel: Kernel, device: string): Fd {
  return Fd.adopt(kernel, kernel.memfd(markOf(device), MFD_CLOEXEC));
}

/**
 * Whether a process releases a device on request.
 *
 * @param kernel The system.
 * @param pid The process.
 * @param device The device's name.
 */
export function releasesOnRequest(
  kernel: Kernel,
  pid: number,
  device: string,
): boolean {
  return openFiles(kernel, pid).has(`/memfd:${markOf(device)} (deleted)`);
}
