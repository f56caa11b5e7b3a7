/**
 * Opens the lock and the journals. They decide what is done as root, so that
 * only what root or this user has made is used.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import { makeDirectories } from "../../kernel/files.ts";
import type { FileStatus, Kernel } from "../../kernel/kernel.ts";
import { O_NOFOLLOW, O_NONBLOCK } from "../../uapi/linux/fcntl.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../../uapi/linux/statx.ts";

/** The mode of a file that only its owner can read, write, or lock. */
export const OWN_MODE = 0o600;

/** Write permission of the group and of others. */
const OTHERS_WRITE = 0o022;

/** All permissions of the group and of others. */
const OTHERS = 0o077;

/**
 * Opens a file, unless somebody else has put it there. A symbolic link is not
 * followed, and a FIFO is not waited for. A file that it makes is private.
 *
 * @param kernel The system.
 * @param path The file.
 * @param flags `O_*` bits.
 * @throws {VfioError} `PERMISSION_DENIED` for a link, for what is no file, and
 * for a file that belongs to somebody else or that others may write.
 * @throws {KernelError} When it cannot be opened.
 */
export function openOwn(kernel: Kernel, path: string, flags: number): Fd {
  const file = open(kernel, path, flags);
  try {
    const status = kernel.fstat(file.number);
    if ((status.mode & S_IFMT) !== S_IFREG) throw foreign(path, NO_FILE);
    assertOwn(kernel, path, status);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Makes a directory of such files, where it does not exist.
 *
 * @param kernel The system.
 * @param path The directory.
 * @throws {VfioError} `PERMISSION_DENIED` when it belongs to somebody else, or
 * when others may write to it.
 * @throws {KernelError} When it cannot be made.
 */
export function makeOwnDirectory(kernel: Kernel, path: string): void {
  makeDirectories(kernel, path);
  assertOwn(kernel, path, kernel.stat(path));
}

/**
 * Takes the permissions of others off an open file. Earlier versions made the
 * lock with mode 0644, so that every user could lock it.
 *
 * @param kernel The system.
 * @param file The file.
 * @throws {KernelError} When its mode cannot be changed.
 */
export function makePrivate(kernel: Kernel, file: Fd): void {
  const { mode } = kernel.fstat(file.number);
  if ((mode & OTHERS) !== 0) kernel.fchmod(file.number, OWN_MODE);
}

const NO_FILE = "is no regular file";

function open(kernel: Kernel, path: string, flags: number): Fd {
  try {
    const own = flags | O_NOFOLLOW | O_NONBLOCK;
    return Fd.open(kernel, path, own, OWN_MODE);
  } catch (error) {
    if (hasErrno(error, "ELOOP")) throw foreign(path, "is a symbolic link");
    // A FIFO or a socket, or a directory.
    if (hasErrno(error, "ENXIO", "EISDIR")) throw foreign(path, NO_FILE);
    throw error;
  }
}

function assertOwn(
  kernel: Kernel,
  path: string,
  { uid, mode }: FileStatus,
): void {
  if (uid !== 0 && uid !== userOf(kernel)) {
    throw foreign(path, `belongs to user ${uid}`);
  }
  if ((mode & OTHERS_WRITE) !== 0) {
    const kind = (mode & S_IFMT) === S_IFDIR ? "directory" : "file";
    throw foreign(path, `is a ${kind} that other users may write to`);
  }
}

/** The effective user of this process. */
function userOf(kernel: Kernel): number {
  const status = kernel.readFile("/proc/self/status");
  return Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1]);
}

function foreign(path: string, what: string): VfioError {
  return new VfioError("PERMISSION_DENIED", {
    problem: `${path} ${what}, and is not used`,
    hint: `see who has made it, and remove it: ls -ld ${path}`,
  });
}
