/**
 * Lets one process at a time change the host.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Deadline } from "../driver/deadline.ts";
import { writers } from "../openers.ts";
import { linkName } from "../sysfs.ts";
import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { LOCK_EX, O_CREAT, O_RDONLY } from "../../uapi/linux/fcntl.ts";
import { orFileError } from "./file_error.ts";
import { lockHolder, tryLock } from "./flock.ts";
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
  const lock = await takeLock(kernel, deadline);
  try {
    return await work();
  } finally {
    lock[Symbol.dispose]();
  }
}

/**
 * Takes the lock: {@linkcode locked} without the work.
 *
 * @param kernel The system.
 * @param deadline How long to wait for the lock.
 * @returns Releases it when it is disposed of. An error of `close` does not
 * matter: the file is closed anyway, and the work is done.
 */
export async function takeLock(
  kernel: Kernel,
  deadline: Deadline,
): Promise<Disposable> {
  const file = orFileError(() => {
    makeOwnDirectory(kernel, RUN);
    return openOwn(kernel, LOCK, O_RDONLY | O_CREAT);
  });
  try {
    orFileError(() => makePrivate(kernel, file));
    await acquire(kernel, file, deadline);
    await settle(kernel, deadline);
    return file;
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

async function acquire(
  kernel: Kernel,
  file: Fd,
  deadline: Deadline,
): Promise<void> {
  await deadline.until(
    () => orFileError(() => tryLock(kernel, file, LOCK_EX)) ? true : undefined,
    () => lockedError(kernel),
  );
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

/** The error for a lock that another process has. */
export function lockedError(kernel: Kernel): VfioError {
  return new VfioError("LOCKED", {
    problem: `the host is being changed by ${lockHolder(kernel, LOCK)}`,
    hint: "wait until it is done",
  });
}

/** The id of this process. */
export function processId(kernel: Kernel): number {
  return Number(linkName(kernel, "/proc/self"));
}
