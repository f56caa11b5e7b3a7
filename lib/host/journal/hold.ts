/**
 * Shows that a process still has what a journal records: it keeps the journal's
 * file locked. The kernel ends that with the process, and a later process with
 * the same id is not mistaken for it.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { LOCK_EX, LOCK_SH, O_RDONLY } from "../../uapi/linux/fcntl.ts";
import type { Deadline } from "../driver/deadline.ts";
import { orFileError } from "./file_error.ts";
import { lockHolder, tryLock } from "./flock.ts";
import { openOwn } from "./own_files.ts";

/**
 * Locks a journal's file.
 *
 * @param kernel The system.
 * @param path The file. It exists.
 * @param deadline How long to wait for processes that look whether it is
 * locked, which takes them a moment.
 * @returns Releases it when it is disposed of.
 * @throws {VfioError} `LOCKED`, `PERMISSION_DENIED`, or `KERNEL`.
 */
export async function hold(
  kernel: Kernel,
  path: string,
  deadline: Deadline,
): Promise<Disposable> {
  const file = orFileError(() => openOwn(kernel, path, O_RDONLY), path);
  try {
    await deadline.until(
      () =>
        orFileError(() => tryLock(kernel, file, LOCK_EX), path)
          ? true
          : undefined,
      () =>
        new VfioError("LOCKED", {
          problem: `${path} is locked by ${lockHolder(kernel, path)}`,
          hint: "wait until it is done",
        }),
    );
    return file;
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/**
 * The process that has a journal's file locked, in words.
 *
 * @param kernel The system.
 * @param path The file.
 * @returns The process, or `undefined` when none has.
 * @throws {VfioError} `PERMISSION_DENIED`, or `KERNEL`.
 */
export function holderOf(kernel: Kernel, path: string): string | undefined {
  return orFileError(() => {
    try {
      using file = openOwn(kernel, path, O_RDONLY);
      // Those who only look do not keep each other from it.
      if (tryLock(kernel, file, LOCK_SH)) return undefined;
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return undefined;
      throw error;
    }
    return lockHolder(kernel, path);
  }, path);
}
