/**
 * Calls that may block.
 *
 * @module
 */

/** What such a call gives: at once, or when it goes on. */
export type Blocking<T> = T | Promise<T>;

/** The steps of such a call: they yield what they wait for. */
export type Steps<T> = Generator<Blocking<void>, T, void>;

/**
 * Makes the steps of a call. It is over at once where none of them waits.
 *
 * @param steps What it does.
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

/** What only one call can have at a time; the others wait for their turn. */
export class Lock {
  #held: Promise<void> | undefined;

  /** Makes the steps while no other call has the lock. */
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

  /** Throws where a call that cannot wait would have to. */
  assertFree(): void {
    if (this.#held === undefined) return;
    throw new Error(
      "A real process would hang in this call until a driver has let go of " +
        "the device",
    );
  }

  /** Ends when nobody has the lock. */
  *free(): Steps<void> {
    while (this.#held !== undefined) yield this.#held;
  }
}
