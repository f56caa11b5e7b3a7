/**
 * Lets one process at a time change the host.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Deadline } from "../../host/driver/deadline.ts";
import {
  openersText,
  processes,
  processName,
  readable,
  writers,
} from "../../host/openers.ts";
import { linkName } from "../../host/sysfs.ts";
import { hasErrno } from "../../kernel/errno.ts";
import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { LOCK_EX, LOCK_NB, O_CREAT, O_RDONLY } from "../../uapi/linux/fcntl.ts";
import { orFileError } from "./files.ts";
import { makeOwnDirectory, makePrivate, openOwn } from "./own_files.ts";

/** The directory of records that a reboot removes. */
export const RUN = "/run/passthru";

const LOCK = `${RUN}/lock`;

/**
 * Runs `work` while no other process changes the host. The kernel releases the
 * lock when the process ends, however it ends.
 *
 * @param kernel The system.
 * @param deadline How long to wait for the lock.
 * @param work What to do.
 * @returns The result of `work`.
 * @throws {VfioError} `LOCKED` when another process holds the lock until the
 * deadline, or `PERMISSION_DENIED`, also when somebody else has put something
 * in the lock's place.
 */
export async function locked<T>(
  kernel: Kernel,
  deadline: Deadline,
  work: () => Promise<T>,
): Promise<T> {
  const file = orFileError(() => {
    makeOwnDirectory(kernel, RUN);
    return openOwn(kernel, LOCK, O_RDONLY | O_CREAT);
  });
  try {
    orFileError(() => makePrivate(kernel, file));
    await acquire(kernel, file, deadline);
    await settle(kernel, deadline);
    return await work();
  } finally {
    release(file);
  }
}

async function acquire(
  kernel: Kernel,
  file: Fd,
  deadline: Deadline,
): Promise<void> {
  await deadline.until(
    () => orFileError(() => tryLock(kernel, file)) ? true : undefined,
    () => lockedError(kernel),
  );
}

/**
 * Closes the file. An error of close() is ignored: the file is closed anyway,
 * and the work is done.
 */
function release(file: Fd): void {
  try {
    file.close();
  } catch {
    // Nothing was written through this descriptor.
  }
}

/** How long to wait for a write that a killed process left, in milliseconds. */
const PATIENCE = 1000;

/**
 * Waits for writes to sysfs that are under way: the child of a killed process
 * may be about to make one. A write that the kernel does not finish holds its
 * device's lock, and later writes to that device wait for the lock.
 */
async function settle(kernel: Kernel, deadline: Deadline): Promise<void> {
  const end = performance.now() + PATIENCE;
  for (let delay = 1; isWritten(kernel); delay *= 2) {
    if (performance.now() + delay > end) return;
    await deadline.pause(delay, () => lockedError(kernel));
  }
}

/** Whether a process writes to an attribute of sysfs. */
function isWritten(kernel: Kernel): boolean {
  return writers(kernel, (path) => path.startsWith("/sys/")).length > 0;
}

function tryLock(kernel: Kernel, file: Fd): boolean {
  try {
    kernel.flock(file.number, LOCK_EX | LOCK_NB);
    return true;
  } catch (error) {
    if (hasErrno(error, "EAGAIN")) return false;
    throw error;
  }
}

function lockedError(kernel: Kernel): VfioError {
  const holder = holderOf(kernel);
  return new VfioError("LOCKED", {
    problem: `the host is being changed by ${holder ?? "another process"}`,
    hint: "wait until it is done",
  });
}

/** The id of this process. */
export function processId(kernel: Kernel): number {
  return Number(linkName(kernel, "/proc/self"));
}

/** The process that holds the lock, where that can be read. */
function holderOf(kernel: Kernel): string | undefined {
  const pid = processes(kernel).find((pid) => holdsLock(kernel, pid));
  if (pid === undefined) return undefined;
  return openersText([{ pid, name: processName(kernel, pid) }]);
}

/**
 * Whether a process holds the lock. The kernel lists the locks of an open file
 * in `fdinfo` (`show_fd_locks()` in `fs/locks.c`); those that wait have the
 * file open too.
 */
function holdsLock(kernel: Kernel, pid: number): boolean {
  const fds = readable(() => kernel.readdir(`/proc/${pid}/fd`)) ?? [];
  return fds.some((fd) => {
    const path = readable(() => kernel.readlink(`/proc/${pid}/fd/${fd}`));
    if (path !== LOCK) return false;
    const info = readable(() => kernel.readFile(`/proc/${pid}/fdinfo/${fd}`));
    return /^lock:.*\bFLOCK\b/m.test(info ?? "");
  });
}
