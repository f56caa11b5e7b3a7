/**
 * What errors of files mean for the caller.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasErrno, KernelError } from "../../kernel/errno.ts";

/**
 * Runs `work`, and turns the kernel's errors into errors of this library.
 *
 * @param work What to do.
 * @param path The file that is changed. Calls on descriptors do not name it.
 * @throws {VfioError} `PERMISSION_DENIED` or `KERNEL`, by the kernel's error.
 */
export function orFileError<T>(work: () => T, path?: string): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const denied = hasErrno(error, "EACCES", "EPERM", "EROFS");
    const isNamed = path === undefined || error.path === path;
    throw new VfioError(denied ? "PERMISSION_DENIED" : "KERNEL", {
      problem: isNamed ? error.message : `${path}: ${error.message}`,
      hint: HINTS[error.code],
      cause: error,
    });
  }
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES: "run as root",
  EPERM: "run as root",
  EROFS: "its file system is mounted read-only: mount it read-write",
  ENOSPC: "its file system is full: make room on it",
};
