/**
 * Files that are there whole, or as they were before.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { dirname } from "../../host/path.ts";
import { hasErrno, KernelError } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import {
  draftOf,
  replaceAtomically,
  syncDirectory,
  unlinkIfPresent,
  writeAll,
} from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";

/** Whose a file is, and who may do what with it. */
export interface FileAccess {
  /** Permission bits. */
  readonly mode: number;
  /** The owner's user id. */
  readonly uid: number;
  /** The owner's group id. */
  readonly gid: number;
}

/** A file, by what is in it, or a symbolic link, by what it says. */
export type FileEntry =
  | FileAccess & { readonly text: string }
  | { readonly target: string };

const PERMISSIONS = 0o7777;

/**
 * What is at a path, or `null` where nothing is.
 *
 * @param kernel The system.
 * @param path The path.
 */
export function readEntry(kernel: Kernel, path: string): FileEntry | null {
  const target = readLink(kernel, path);
  if (target === null) return null;
  if (target !== undefined) return { target };
  const { mode, uid, gid } = kernel.stat(path);
  const text = kernel.readFile(path);
  return { text, mode: mode & PERMISSIONS, uid, gid };
}

/**
 * Reads the symbolic link at a path.
 *
 * @param kernel The system.
 * @param path The path.
 * @returns What it says; `undefined` where something else is at the path, and
 * `null` where nothing is.
 * @throws {KernelError} When the path cannot be looked at.
 */
export function readLink(
  kernel: Kernel,
  path: string,
): string | undefined | null {
  try {
    return kernel.readlink(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return null;
    if (hasErrno(error, "EINVAL")) return undefined;
    throw error;
  }
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
  if (entry === null) {
    unlinkIfPresent(kernel, path);
    syncDirectory(kernel, dirname(path));
    return;
  }
  if ("target" in entry) {
    const { target } = entry;
    replaceAtomically(kernel, path, (draft) => kernel.symlink(target, draft));
  } else putFile(kernel, path, entry.text, entry);
}

/**
 * Puts a file at a path, as {@linkcode putEntry} does.
 *
 * @param kernel The system.
 * @param path The path, in a directory that is there.
 * @param contents What shall be in it.
 * @param access Whose it shall be.
 */
export function putFile(
  kernel: Kernel,
  path: string,
  contents: string | Uint8Array,
  { mode, uid, gid }: FileAccess,
): void {
  replaceAtomically(kernel, path, (draft) => {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    using file = Fd.open(kernel, draft, flags, 0o600);
    writeAll(kernel, file.number, contents);
    kernel.fchown(file.number, uid, gid);
    kernel.fchmod(file.number, mode);
    kernel.fsync(file.number);
  });
}

/**
 * Removes what a killed process may have left of a file.
 *
 * @param kernel The system.
 * @param path The file's path.
 */
export function removeDraft(kernel: Kernel, path: string): void {
  unlinkIfPresent(kernel, draftOf(path));
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
    let directory = dirname(path);
    isMissing(kernel, directory);
    directory = dirname(directory)
  ) {
    missing.unshift(directory);
  }
  return missing;
}

/** A file on the way, which has no directories below it, is an error. */
function isMissing(kernel: Kernel, path: string): boolean {
  try {
    kernel.stat(path);
    return false;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return true;
    throw error;
  }
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
