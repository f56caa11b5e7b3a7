/**
 * Simulates calls that may block.
 *
 * @module
 */

/** The result of such a call: a value, or a promise of one where it blocks. */
export type Blocking<T> = T | Promise<T>;

/** The steps of such a call. They yield the promises that they wait for. */
export type Steps<T> = Generator<Blocking<void>, T, void>;

/**
 * Runs the steps of a call. It returns without a promise if no step waits.
 *
 * @param steps The steps.
 */
export function run<T>(steps: Steps<T>): Blocking<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (value instanceof Promise) return resume(steps, value);
  }
}

async function resume<T>(steps: Steps<T>, awaited: Promise<void>): Promise<T> {
  for (let pending: Blocking<void> = awaited;;) {
    let error: unknown;
    let failed = false;
    try {
      await pending;
    } catch (caught) {
      failed = true;
      error = caught;
    }
    const { done, value } = failed ? steps.throw(error) : steps.next();
    if (done) return value;
    pending = value;
  }
}

/** A lock that one call at a time can hold. The others wait for their turn. */
export class Lock {
  #held: Promise<void> | undefined;

  /** Runs the steps while holding the lock. */
  *hold<T>(steps: Steps<T>): Steps<T> {
    while (this.#held !== undefined) yield this.#held;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    try {
      return yield* steps;
    } finally {
      this.#held = undefined;
      resolve();
    }
  }

  /** Throws if a call that cannot wait would have to. */
  assertFree(): void {
    if (this.#held === undefined) return;
    throw new Error(
      "A real process would hang in this call until a driver has released " +
        "the device",
    );
  }

  /** Waits until the lock is free. */
  *free(): Steps<void> {
    while (this.#held !== undefined) yield this.#held;
  }
}
