/**
 * Files that this library keeps, written so that they outlive a crash of the
 * process or of the host at any point.
 *
 * @module
 */

import {
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
} from "../uapi/linux/fcntl.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../uapi/linux/statx.ts";
import { errnoNumber, hasErrno, KernelError } from "./errno.ts";
import { Fd } from "./fd.ts";
import type { Kernel } from "./kernel.ts";

/** The size of the first buffer for a file of unknown length, in bytes. */
const READ_FIRST = 1 << 16;

/** The permission bits of `st_mode`. */
const PERMISSIONS = 0o7777;

/**
 * Writes a file atomically: a reader finds the old file or the new one, even
 * when the host loses power meanwhile. What is at the path is replaced, not
 * written to, even a symbolic link.
 *
 * @param kernel The system.
 * @param path The file. Its directory is there.
 * @param text What will be in it.
 * @param mode Its permission bits. The process's umask does not apply.
 * @throws {KernelError} When it cannot be written. Nothing is left of it then.
 */
export function writeFileAtomically(
  kernel: Kernel,
  path: string,
  text: string,
  mode = 0o644,
): void {
  replaceAtomically(
    kernel,
    path,
    (draft) => writeNew(kernel, draft, text, mode),
  );
}

/**
 * Replaces what is at a path atomically, by a file or a symbolic link.
 *
 * @param kernel The system.
 * @param path The path. Its directory is there.
 * @param make Makes it at the path it is called with.
 * @throws {KernelError} When it cannot be made. Nothing is left of it then.
 */
export function replaceAtomically(
  kernel: Kernel,
  path: string,
  make: (draft: string) => void,
): void {
  const draft = draftOf(path);
  // Left by a process that was killed.
  unlinkIfPresent(kernel, draft);
  try {
    make(draft);
    kernel.rename(draft, path);
  } catch (error) {
    try {
      kernel.unlink(draft);
    } catch {
      // It was not made, or the cause is the same as that of `error`.
    }
    throw error;
  }
  syncDirectory(kernel, split(path).directory);
}

/**
 * The path of a file while it is being written. It stays there when the process
 * is killed meanwhile.
 *
 * @param path The file.
 */
export function draftOf(path: string): string {
  const { directory, name } = split(path);
  return `${directory === "/" ? "" : directory}/.${name}.passthru`;
}

/**
 * Removes a name of a file, if it exists.
 *
 * @param kernel The system.
 * @param path The name.
 * @throws {KernelError} When it cannot be removed.
 */
export function unlinkIfPresent(kernel: Kernel, path: string): void {
  ignoreErrnos(() => kernel.unlink(path), "ENOENT", "ENOTDIR");
}

function writeNew(
  kernel: Kernel,
  path: string,
  text: string,
  mode: number,
): void {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  using file = Fd.open(kernel, path, flags, mode);
  writeAll(kernel, file.number, text);
  kernel.fchmod(file.number, mode);
  kernel.fsync(file.number);
  file.close();
}

/** Who owns a file, and who may use it. */
export interface Ownership {
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Permission bits. */
  readonly mode: number;
}

/**
 * Sets a file's owner, group and permission bits, as one: the file that has the
 * name at the beginning, and no other that gets it meanwhile.
 *
 * @param kernel The system.
 * @param path The file. It is no symbolic link.
 * @param to What is set.
 * @throws {KernelError} `ELOOP` for a symbolic link. What was set by then stays.
 */
export function setOwnership(
  kernel: Kernel,
  path: string,
  { uid, gid, mode }: Ownership,
): void {
  using file = Fd.open(kernel, path, O_PATH | O_NOFOLLOW);
  const status = kernel.fstat(file.number);
  if ((status.mode & S_IFMT) === S_IFLNK) {
    throw new KernelError(errnoNumber("ELOOP"), "open", path);
  }
  const moves = uid !== status.uid || gid !== status.gid;
  if (moves) kernel.fchown(file.number, uid, gid);
  // chown() takes set-user-ID bits away.
  if (moves || mode !== (status.mode & PERMISSIONS)) {
    kernel.fchmod(file.number, mode);
  }
}

/**
 * Adds a line to the end of a file, which is made where it is not there. When
 * this returns, the line outlives a crash of the host.
 *
 * @param kernel The system.
 * @param path The file. Its directory is there.
 * @param line The line, without the newline at its end.
 * @param mode The permission bits of a file that is made, less the umask's.
 * @throws {TypeError} When `line` is more than one line.
 * @throws {KernelError} When it cannot be written. A part of it may be there
 * then, as after a crash: a complete line ends with a newline.
 */
export function appendLine(
  kernel: Kernel,
  path: string,
  line: string,
  mode = 0o644,
): void {
  if (line.includes("\n")) throw new TypeError("Cannot append several lines");
  const flags = O_WRONLY | O_APPEND | O_NOFOLLOW;
  const there = ignoreErrnos(() => Fd.open(kernel, path, flags), "ENOENT");
  using file = there ?? Fd.open(kernel, path, flags | O_CREAT, mode);
  writeAll(kernel, file.number, `${line}\n`);
  kernel.fsync(file.number);
  file.close();
  if (there === undefined) syncDirectory(kernel, split(path).directory);
}

/**
 * Makes a directory and its missing parents.
 *
 * @param kernel The system.
 * @param path The directory.
 * @param mode The permission bits of each that is made, less the umask's.
 * @throws {KernelError} When it cannot be made: `EEXIST` where a file has its
 * name.
 */
export function makeDirectories(
  kernel: Kernel,
  path: string,
  mode = 0o755,
): void {
  const { directory } = split(path);
  try {
    kernel.mkdir(path, mode);
  } catch (error) {
    if (hasErrno(error, "EEXIST")) {
      if ((kernel.stat(path).mode & S_IFMT) === S_IFDIR) return;
      throw error;
    }
    if (!hasErrno(error, "ENOENT") || directory === path) throw error;
    makeDirectories(kernel, directory, mode);
    kernel.mkdir(path, mode);
  }
  syncDirectory(kernel, directory);
}

/**
 * The text of a file.
 *
 * @param kernel The system.
 * @param path The file.
 * @returns Its text, or `undefined` where it is not there.
 * @throws {KernelError} When it is there and cannot be read.
 */
export function readTextIfPresent(
  kernel: Kernel,
  path: string,
): string | undefined {
  return ignoreErrnos(() => kernel.readFile(path), "ENOENT", "ENOTDIR");
}

/**
 * Reads from the current position to the end.
 *
 * @param kernel The system.
 * @param fd What is read.
 * @param limit The most that is read, in bytes.
 * @throws {KernelError} When it cannot be read.
 */
export function readAll(
  kernel: Kernel,
  fd: number,
  limit: number,
): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(Math.min(limit, READ_FIRST));
  let length = 0;
  while (length < limit) {
    if (length === bytes.length) {
      const more = new Uint8Array(Math.min(limit, 2 * length));
      more.set(bytes);
      bytes = more;
    }
    const read = kernel.read(fd, bytes.subarray(length));
    if (read === 0) break;
    length += read;
  }
  return bytes.slice(0, length);
}

/**
 * Writes a text or bytes completely, however many the kernel takes at a time.
 *
 * @param kernel The system.
 * @param fd What it is written to.
 * @param contents The text or the bytes.
 * @throws {KernelError} When it cannot be written. A part of it may be.
 */
export function writeAll(
  kernel: Kernel,
  fd: number,
  contents: string | Uint8Array,
): void {
  let rest = typeof contents === "string"
    ? new TextEncoder().encode(contents)
    : contents;
  while (rest.length > 0) rest = rest.subarray(kernel.write(fd, rest));
}

/**
 * Makes the names in a directory survive a crash of the host.
 *
 * @param kernel The system.
 * @param path The directory.
 * @throws {KernelError} When the disk cannot be written.
 */
export function syncDirectory(kernel: Kernel, path: string): void {
  using directory = Fd.open(kernel, path, O_RDONLY | O_DIRECTORY);
  kernel.fsync(directory.number);
  directory.close();
}

/** The directory of an absolute path, and its last name. */
function split(path: string): { directory: string; name: string } {
  const trimmed = path.replace(/(?<=.)\/+$/, "");
  const slash = trimmed.lastIndexOf("/");
  return {
    directory: trimmed.slice(0, slash) || "/",
    name: trimmed.slice(slash + 1),
  };
}

/** Runs `step`; returns `undefined` when it fails with one of these. */
function ignoreErrnos<T>(
  step: () => T,
  ...codes: readonly string[]
): T | undefined {
  try {
    return step();
  } catch (error) {
    if (hasErrno(error, ...codes)) return undefined;
    throw error;
  }
}
