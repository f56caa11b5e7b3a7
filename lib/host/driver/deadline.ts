/**
 * A time limit over several steps.
 *
 * @module
 */

/** How long an operation may take, and what stops it before that. */
export interface WaitOptions {
  /** The longest it may take, in milliseconds. Default: 10,000. */
  readonly timeout?: number;
  /** Stops it. What was changed by then is undone. */
  readonly signal?: AbortSignal;
}

/** The default of {@linkcode WaitOptions.timeout}, in milliseconds. */
export const DEFAULT_TIMEOUT = 10_000;

/** The longest `setTimeout` waits, in milliseconds. */
const MAX_TIMEOUT = 2 ** 31 - 1;

/** A point in time that several steps share, and a signal to stop sooner. */
export class Deadline {
  readonly #end: number;
  readonly #signal: AbortSignal | undefined;
  /** The whole time limit, in milliseconds. */
  readonly timeout: number;

  /**
   * The time runs from now on.
   *
   * @param options The time limit and the signal.
   * @throws {RangeError} When the time limit is not a positive number that a
   * timer can count.
   * @throws The signal's reason, when it is aborted already.
   */
  constructor(options: WaitOptions = {}) {
    const { timeout = DEFAULT_TIMEOUT, signal } = options;
    if (!(timeout > 0 && timeout <= MAX_TIMEOUT)) {
      throw new RangeError(
        `Cannot wait for ${timeout} ms: expected 1 to ${MAX_TIMEOUT}`,
      );
    }
    signal?.throwIfAborted();
    this.timeout = timeout;
    this.#signal = signal;
    this.#end = performance.now() + timeout;
  }

  /** The milliseconds left; 0 when none are. */
  get left(): number {
    return Math.max(0, this.#end - performance.now());
  }

  /**
   * Waits for `work` until the time is over. The work itself is not stopped.
   *
   * @param work What to wait for.
   * @param late Makes the error for when the time is over.
   * @returns The result of `work`.
   * @throws The signal's reason, when it stops the wait.
   * @throws What `late` throws, when the time is over.
   */
  async wait<T>(work: Promise<T>, late: () => unknown): Promise<T> {
    const { promise: stop, reject } = Promise.withResolvers<never>();
    // An error that leaves a timer ends the process.
    const end = () => {
      try {
        reject(late());
      } catch (error) {
        reject(error);
      }
    };
    const timer = setTimeout(end, this.left);
    const abort = () => reject(this.#signal?.reason);
    this.#signal?.addEventListener("abort", abort);
    try {
      if (this.#signal?.aborted) abort();
      return await Promise.race([stop, work]);
    } finally {
      clearTimeout(timer);
      this.#signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Calls `poll` until it returns something, less and less often, and no more
   * than a tenth of the time: it may look at all processes of the host.
   *
   * @param poll Returns what is waited for, or `undefined`.
   * @param late Makes the error for when the time is over.
   * @throws The signal's reason, when it stops the wait.
   */
  async until<T>(
    poll: () => T | undefined,
    late: () => unknown,
  ): Promise<T> {
    for (let delay = 1;; delay = Math.min(2 * delay, 250)) {
      const start = performance.now();
      const found = poll();
      if (found !== undefined) return found;
      const took = performance.now() - start;
      await this.pause(Math.max(delay, 9 * took), late);
    }
  }

  /**
   * Waits for `delay` milliseconds.
   *
   * @param delay How long, in milliseconds.
   * @param late Makes the error for when there is not that much time.
   * @throws The signal's reason, when it stops the wait.
   */
  async pause(delay: number, late: () => unknown): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, delay);
    try {
      await this.wait(promise, late);
    } finally {
      clearTimeout(timer);
    }
  }
}
