/**
 * The lock, held by several works of this process together.
 *
 * @module
 */

import type { Deadline } from "../driver/deadline.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { lockedError, takeLock } from "./lock.ts";

const present = new WeakMap<Kernel, SharedLock>();

/** The lock of the works that hold it together. */
class SharedLock {
  readonly #kernel: Kernel;
  readonly #taken = Promise.withResolvers<boolean>();
  #lock: Disposable | undefined;
  #works = 1;

  /** @param kernel The system, which finds it until the last work is over. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    present.set(kernel, this);
  }

  /** Takes the lock, for the first work. */
  async take(deadline: Deadline): Promise<void> {
    try {
      this.#lock = await takeLock(this.#kernel, deadline);
      this.#taken.resolve(true);
    } catch (error) {
      this.#taken.resolve(false);
      present.delete(this.#kernel);
      throw error;
    }
  }

  /** Joins the works. Returns whether the lock could be taken. */
  async join(deadline: Deadline): Promise<boolean> {
    this.#works++;
    try {
      const { promise } = this.#taken;
      return await deadline.wait(promise, () => lockedError(this.#kernel));
    } catch (error) {
      this.leave();
      throw error;
    }
  }

  /** Ends a work. The last one releases the lock. */
  leave(): void {
    if (--this.#works > 0) return;
    if (present.get(this.#kernel) === this) present.delete(this.#kernel);
    this.#lock?.[Symbol.dispose]();
  }
}

/**
 * Does the same as {@linkcode locked}, but does not wait for other works of
 * this process that were begun by this function. They change different devices,
 * and a slow one must not hold up the others.
 *
 * @param kernel The system.
 * @param deadline How long to wait for the lock.
 * @param work What to do.
 * @returns The result of `work`.
 * @throws {VfioError} The same as {@linkcode locked}.
 */
export async function lockedTogether<T>(
  kernel: Kernel,
  deadline: Deadline,
  work: () => Promise<T>,
): Promise<T> {
  const lock = await joined(kernel, deadline);
  try {
    return await work();
  } finally {
    lock.leave();
  }
}

async function joined(
  kernel: Kernel,
  deadline: Deadline,
): Promise<SharedLock> {
  for (
    let lock = present.get(kernel);
    lock !== undefined;
    lock = present.get(kernel)
  ) {
    if (await lock.join(deadline)) return lock;
  }
  const lock = new SharedLock(kernel);
  await lock.take(deadline);
  return lock;
}
