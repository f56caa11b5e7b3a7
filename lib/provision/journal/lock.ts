/**
 * One change to the host at a time, of all processes.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Deadline } from "../../host/driver/deadline.ts";
import { openersText, processName, readable } from "../../host/openers.ts";
import { linkName, namesIn } from "../../host/sysfs.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  LOCK_EX,
  LOCK_NB,
  O_CREAT,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";
import { makeDirectories, writeAll } from "../../kernel/files.ts";
import { orFileError } from "./files.ts";

/** Where what is gone after a reboot is kept. */
export const RUN = "/run/passthru";

const LOCK = `${RUN}/lock`;

/**
 * Does something while no other process changes the host. The lock goes with
 * the process, however it ends.
 *
 * @param kernel The system.
 * @param deadline How long to wait for the lock.
 * @param work What to do.
 * @returns What `work` gives.
 * @throws {VfioError} `LOCKED` when another process has it for longer, or
 * `PERMISSION_DENIED`.
 */
export async function locked<T>(
  kernel: Kernel,
  deadline: Deadline,
  work: () => Promise<T>,
): Promise<T> {
  const file = orFileError(() => {
    makeDirectories(kernel, RUN);
    return Fd.open(kernel, LOCK, O_RDONLY | O_CREAT);
  });
  try {
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
    () => orFileError(() => taken(kernel, file)) ? true : undefined,
    () => locking(kernel),
  );
  // Whoever waits may read it; the lock does not depend on it.
  orFileError(() => {
    using note = Fd.open(kernel, LOCK, O_WRONLY | O_TRUNC);
    writeAll(kernel, note.number, `${processId(kernel)}\n`);
  });
}

/** It is closed whatever the kernel answers, and the work is done. */
function release(file: Fd): void {
  try {
    file.close();
  } catch {
    // Nothing was written to it.
  }
}

/** How long a write is waited for that nobody waits for, in milliseconds. */
const PATIENCE = 1000;

/**
 * Waits for writes to sysfs that are under way: where a process was killed, its
 * child can be about to make one. One that the kernel does not let go of holds
 * its device's lock, and what comes after it waits for that.
 */
async function settle(kernel: Kernel, deadline: Deadline): Promise<void> {
  const end = performance.now() + PATIENCE;
  for (let delay = 1; isWritten(kernel); delay *= 2) {
    if (performance.now() + delay > end) return;
    await deadline.pause(delay, () => locking(kernel));
  }
}

/** Whether a process has an attribute of sysfs for its standard output. */
function isWritten(kernel: Kernel): boolean {
  return namesIn(kernel, "/proc").some((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return kernel.readlink(`/proc/${name}/fd/1`).startsWith("/sys/");
    } catch {
      // It has ended, or is none of this user's.
      return false;
    }
  });
}

function taken(kernel: Kernel, file: Fd): boolean {
  try {
    kernel.flock(file.number, LOCK_EX | LOCK_NB);
    return true;
  } catch (error) {
    if (hasErrno(error, "EAGAIN")) return false;
    throw error;
  }
}

function locking(kernel: Kernel): VfioError {
  const holder = holderOf(kernel);
  return new VfioError("LOCKED", {
    problem: `the host is being changed by ${holder ?? "another process"}`,
    hint: "wait until it is done",
  });
}

/** The number of this process. */
export function processId(kernel: Kernel): number {
  return Number(linkName(kernel, "/proc/self"));
}

/** The process that holds the lock, where that can be read. */
function holderOf(kernel: Kernel): string | undefined {
  const pid = Number(readable(() => kernel.readFile(LOCK)));
  if (!(pid > 0)) return undefined;
  return openersText([{ pid, name: processName(kernel, pid) }]);
}
