/**
 * Replaces files atomically.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { dirname } from "../../host/path.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import {
  draftOf,
  replaceAtomically,
  syncDirectory,
  unlinkIfPresent,
  writeAll,
} from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { S_IFMT, S_IFREG } from "../../uapi/linux/statx.ts";
import {
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";

/** The owner, group and mode of a file. */
export interface FileAccess {
  /** Permission bits. */
  readonly mode: number;
  /** The owner's user id. */
  readonly uid: number;
  /** The owner's group id. */
  readonly gid: number;
}

/**
 * A file with its contents, or a symbolic link with its target. Contents that
 * are no UTF-8, or begin with a byte order mark, are in base64: decoding them
 * as text would lose bytes.
 */
export type FileEntry =
  | FileAccess & { readonly text: string }
  | FileAccess & { readonly base64: string }
  | { readonly target: string };

const PERMISSIONS = 0o7777;

/**
 * Reads the file or link at a path; `null` where nothing is.
 *
 * @param kernel The system.
 * @param path The path.
 * @throws {VfioError} `NOT_SUPPORTED` when something else is at the path.
 */
export function readEntry(kernel: Kernel, path: string): FileEntry | null {
  const target = readLink(kernel, path);
  if (target === null) return null;
  if (target !== undefined) return { target };
  const { mode, uid, gid } = kernel.stat(path);
  if ((mode & S_IFMT) !== S_IFREG) {
    throw new VfioError("NOT_SUPPORTED", {
      problem: `${path} is no regular file`,
      hint: `remove what is there: ls -ld ${path}`,
    });
  }
  const bytes = kernel.readFileBytes(path);
  const access = { mode: mode & PERMISSIONS, uid, gid };
  const text = textOf(bytes);
  return text === undefined
    ? { base64: bytes.toBase64(), ...access }
    : { text, ...access };
}

/** The bytes of a file. */
export function bytesOf(
  entry: Exclude<FileEntry, { target: string }>,
): Uint8Array<ArrayBuffer> {
  return "text" in entry
    ? new TextEncoder().encode(entry.text)
    : Uint8Array.fromBase64(entry.base64);
}

/** The text of bytes, where it has exactly these bytes. */
function textOf(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const text = decoder.decode(bytes);
    return text.startsWith("\ufeff") ? undefined : text;
  } catch {
    return undefined;
  }
}

/**
 * Reads the symbolic link at a path.
 *
 * @param kernel The system.
 * @param path The path.
 * @returns Its target; `undefined` where something else is at the path, and
 * `null` where nothing is.
 * @throws {KernelError} When the path cannot be read.
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
 * Puts a file or a link at a path, or removes what is there for `null`. The
 * change is atomic: readers see the old entry or the new one, even where the
 * process is killed meanwhile.
 *
 * @param kernel The system.
 * @param path The path, in a directory that is there.
 * @param entry The file or link, or `null`.
 */
export function putEntry(
  kernel: Kernel,
  path: string,
  entry: FileEntry | null,
): void {
  if (entry === null) {
    if (!isThere(kernel, path)) return;
    unlinkIfPresent(kernel, path);
    syncDirectory(kernel, dirname(path));
    return;
  }
  if ("target" in entry) {
    const { target } = entry;
    replaceAtomically(kernel, path, (draft) => kernel.symlink(target, draft));
  } else putFile(kernel, path, bytesOf(entry), entry);
}

/**
 * Puts a file at a path, as {@linkcode putEntry} does.
 *
 * @param kernel The system.
 * @param path The path, in a directory that is there.
 * @param contents Its contents.
 * @param access Its owner, group and mode.
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
    file.close();
  });
}

/**
 * Removes the draft that a killed process may have left of a file.
 *
 * @param kernel The system.
 * @param path The file's path.
 */
export function removeDraft(kernel: Kernel, path: string): void {
  // A read-only file system refuses even to remove what does not exist.
  const draft = draftOf(path);
  if (isThere(kernel, draft)) unlinkIfPresent(kernel, draft);
}

/** Whether a path has an entry. A link is not followed. */
function isThere(kernel: Kernel, path: string): boolean {
  return readLink(kernel, path) !== null;
}

/**
 * Lists the directories above a path that are missing, the uppermost first.
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

/**
 * Whether a path is missing. It throws where a file is in the place of a
 * directory.
 */
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
 * Removes a directory if it exists and is empty.
 *
 * @param kernel The system.
 * @param path Its path.
 */
export function removeDirectory(kernel: Kernel, path: string): void {
  if (!isThere(kernel, path)) return;
  try {
    kernel.rmdir(path);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "ENOTEMPTY", "EEXIST")) {
      throw error;
    }
  }
}
