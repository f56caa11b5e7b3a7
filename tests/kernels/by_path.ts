/**
 * Changing a file's mode and owner by its path, for tests. The library does it
 * by descriptor.
 *
 * @module
 */

import { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { O_PATH } from "../../lib/uapi/linux/fcntl.ts";

/** Sets the permission bits of a file, symbolic links followed. */
export function chmod(kernel: Kernel, path: string, mode: number): void {
  using file = Fd.open(kernel, path, O_PATH);
  kernel.fchmod(file.number, mode);
}

/** Sets a file's owner and group, symbolic links followed. */
export function chown(
  kernel: Kernel,
  path: string,
  uid: number,
  gid: number,
): void {
  using file = Fd.open(kernel, path, O_PATH);
  kernel.fchown(file.number, uid, gid);
}
