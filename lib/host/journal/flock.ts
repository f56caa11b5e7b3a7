/**
 * Locks on open files. The kernel releases them when the process ends, however
 * it ends.
 *
 * @module
 */

import { hasErrno } from "../../kernel/errno.ts";
import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { LOCK_NB } from "../../uapi/linux/fcntl.ts";
import { openersText, processes, processName, readable } from "../openers.ts";

/**
 * Locks a file, if no lock of another open file is in the way.
 *
 * @param kernel The system.
 * @param file The file.
 * @param kind `LOCK_EX` or `LOCK_SH`.
 * @returns Whether it is locked now.
 * @throws {KernelError} When the kernel has no memory for a lock.
 */
export function tryLock(kernel: Kernel, file: Fd, kind: number): boolean {
  try {
    kernel.flock(file.number, kind | LOCK_NB);
    return true;
  } catch (error) {
    if (hasErrno(error, "EAGAIN")) return false;
    throw error;
  }
}

/**
 * The process that has a file locked, in words: `deno (process 812)`.
 *
 * @param kernel The system.
 * @param path The file.
 */
export function lockHolder(kernel: Kernel, path: string): string {
  const pid = processes(kernel).find((pid) => holdsLock(kernel, pid, path));
  if (pid === undefined) return "another process";
  return openersText([{ pid, name: processName(kernel, pid) }]);
}

/**
 * Whether a process has a file locked. The kernel lists the locks of an open
 * file in `fdinfo` (`show_fd_locks()` in `fs/locks.c`); those that wait have
 * the file open too.
 */
function holdsLock(kernel: Kernel, pid: number, path: string): boolean {
  const fds = readable(() => kernel.readdir(`/proc/${pid}/fd`)) ?? [];
  return fds.some((fd) => {
    const target = readable(() => kernel.readlink(`/proc/${pid}/fd/${fd}`));
    if (target !== path) return false;
    const info = readable(() => kernel.readFile(`/proc/${pid}/fdinfo/${fd}`));
    return /^lock:.*\bFLOCK\b/m.test(info ?? "");
  });
}
