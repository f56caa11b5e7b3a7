/**
 * Simulates locks on open files (`flock_lock_inode()` in `fs/locks.c`).
 *
 * @module
 */

import { LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN } from "../../uapi/linux/fcntl.ts";
import { refuse } from "../process/refusal.ts";

/** The kinds of lock on a file, by holder. */
const locks = new WeakMap<object, Map<object, number>>();

/**
 * Takes or releases a lock.
 *
 * @param inode The file.
 * @param holder The open file description that holds the lock.
 * @param operation `LOCK_*`.
 */
export function lock(inode: object, holder: object, operation: number): void {
  const kind = operation & ~LOCK_NB;
  if (![LOCK_SH, LOCK_EX, LOCK_UN].includes(kind)) refuse("EINVAL");
  const fileLocks = locks.get(inode) ?? new Map<object, number>();
  locks.set(inode, fileLocks);
  if (fileLocks.get(holder) === kind) return;
  // The old lock is released first, even where the new one cannot be taken.
  fileLocks.delete(holder);
  if (kind === LOCK_UN) return;
  if (
    kind === LOCK_EX
      ? fileLocks.size > 0
      : [...fileLocks.values()].includes(LOCK_EX)
  ) {
    if ((operation & LOCK_NB) !== 0) refuse("EAGAIN");
    throw new Error(
      "A real process would hang in this call until another one releases " +
        "its lock",
    );
  }
  fileLocks.set(holder, kind);
}

/** Returns the lock of a description, `LOCK_*`, if it has one. */
export function lockOf(inode: object, holder: object): number | undefined {
  return locks.get(inode)?.get(holder);
}

/** Releases the lock of a description that is closed, if it has one. */
export function unlock(inode: object, holder: object): void {
  locks.get(inode)?.delete(holder);
}
