/**
 * Files that are there whole, or as they were before.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { posix } from "node:path";
import { VfioError } from "../errors.ts";
import { hasErrno, KernelError } from "../kernel/errno.ts";
import { Fd } from "../kernel/fd.ts";
import type { Kernel } from "../kernel/kernel.ts";
import {
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
} from "../uapi/fcntl.ts";

/** A file, by what is in it, or a symbolic link, by what it says. */
export type FileEntry =
  | {
    readonly text: string;
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
  }
  | { readonly target: string };

const PERMISSIONS = 0o7777;

/**
 * What is at a path, or `null` where nothing is.
 *
 * @param kernel The system.
 * @param path The path.
 */
export function readEntry(kernel: Kernel, path: string): FileEntry | null {
  try {
    return { target: kernel.readlink(path) };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return null;
    if (!hasErrno(error, "EINVAL")) throw error;
  }
  const { mode, uid, gid } = kernel.stat(path);
  const text = kernel.readFile(path);
  return { text, mode: mode & PERMISSIONS, uid, gid };
}

/**
 * Puts a file or a link at a path, or nothing for `null`. Whoever looks sees
 * what was there or what is to be, whenever the process ends.
 *
 * @param kernel The system.
 * @param path The path, in a directory that is there.
 * @param entry What shall be there.
 */
export function putEntry(
  kernel: Kernel,
  path: string,
  entry: FileEntry | null,
): void {
  const temporary = temporaryPath(path);
  unlinkIfThere(kernel, temporary);
  if (entry === null) {
    unlinkIfThere(kernel, path);
  } else {
    if ("target" in entry) {
      kernel.symlink(entry.target, temporary);
    } else {
      using file = Fd.own(
        kernel,
        kernel.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0o600),
      );
      writeAll(kernel, file.number, entry.text);
      kernel.chown(temporary, entry.uid, entry.gid);
      kernel.chmod(temporary, entry.mode);
      kernel.fsync(file.number);
    }
    kernel.rename(temporary, path);
  }
  syncDirectory(kernel, posix.dirname(path));
}

/** Where a file is made before it gets its name. */
function temporaryPath(path: string): string {
  return posix.join(posix.dirname(path), `.${posix.basename(path)}.passthru`);
}

/**
 * Removes what there may be of a file that was being put at a path.
 *
 * @param kernel The system.
 * @param path The path.
 */
export function removeUnfinished(kernel: Kernel, path: string): void {
  unlinkIfThere(kernel, temporaryPath(path));
}

/** Removes a name of a file, if there is one. */
export function unlinkIfThere(kernel: Kernel, path: string): void {
  try {
    kernel.unlink(path);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
  }
}

/**
 * The directories above a path that are not there, the uppermost first.
 *
 * @param kernel The system.
 * @param path The path.
 */
export function missingDirectories(kernel: Kernel, path: string): string[] {
  const missing: string[] = [];
  for (
    let directory = posix.dirname(path);
    !isThere(kernel, directory);
    directory = posix.dirname(directory)
  ) {
    missing.unshift(directory);
  }
  return missing;
}

function isThere(kernel: Kernel, path: string): boolean {
  if (path === "/") return true;
  try {
    kernel.stat(path);
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * Makes a directory that may be there.
 *
 * @param kernel The system.
 * @param path Its path.
 */
export function makeDirectory(kernel: Kernel, path: string): void {
  try {
    kernel.mkdir(path, 0o755);
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
    return;
  }
  syncDirectory(kernel, posix.dirname(path));
}

/**
 * Removes a directory, where it is there and nothing is in it.
 *
 * @param kernel The system.
 * @param path Its path.
 */
export function removeDirectory(kernel: Kernel, path: string): void {
  try {
    kernel.rmdir(path);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "ENOTEMPTY", "EEXIST")) {
      throw error;
    }
  }
}

/** Has the names in a directory written to the disk. */
export function syncDirectory(kernel: Kernel, path: string): void {
  using directory = Fd.open(kernel, path, O_RDONLY | O_DIRECTORY);
  kernel.fsync(directory.number);
}

/** Writes all of a text at the current position. */
export function writeAll(kernel: Kernel, fd: number, text: string): void {
  let rest: Uint8Array = Buffer.from(text);
  while (rest.length > 0) rest = rest.subarray(kernel.write(fd, rest));
}

/**
 * Works with files.
 *
 * @param work What to do.
 * @throws {VfioError} `PERMISSION_DENIED` or `KERNEL`, for what the kernel
 * answered.
 */
export function orFileError<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const denied = hasErrno(error, "EACCES", "EPERM", "EROFS");
    throw new VfioError(denied ? "PERMISSION_DENIED" : "KERNEL", {
      problem: error.message,
      hint: denied ? "run as root" : undefined,
      cause: error,
    });
  }
}
