import { hasErrno } from "./errno.ts";
import type { EventSource, Kernel } from "./kernel.ts";

/**
 * The counts of an eventfd as they come. While nobody asks for the next one,
 * the kernel adds them up, at no cost here.
 *
 * @example Wait for an eventfd
 * ```ts
 * import { Host } from "@passthru/vfio";
 *
 * const { kernel } = new Host();
 * const fd = kernel.eventfd(3, 0);
 * for await (const count of kernel.watch(fd)) {
 *   console.log(count); // => 3
 *   break;
 * }
 * kernel.close(fd);
 * ```
 */
export class EventCounts implements AsyncIterableIterator<number> {
  readonly #source: EventSource;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => void this.#abandon();
  #waiting: PromiseWithResolvers<IteratorResult<number>> | undefined;
  #ended = false;

  /**
   * @param source What is waited for.
   * @param signal Ends the wait, with its reason as the error.
   */
  constructor(source: EventSource, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
  }

  /**
   * Waits for the next count.
   *
   * @throws The signal's reason, when it is aborted.
   */
  next(): Promise<IteratorResult<number>> {
    if (this.#signal?.aborted) return Promise.reject(this.#signal.reason);
    if (this.#ended) return Promise.resolve(DONE);
    if (this.#waiting !== undefined) {
      return this.#waiting.promise.then(() => this.next());
    }
    this.#waiting = Promise.withResolvers();
    this.#source.arm(this.#ready);
    return this.#waiting.promise;
  }

  // An error that leaves a callback ends the process.
  readonly #ready = (): void => {
    try {
      const value = this.#source.read();
      if (value === undefined) {
        this.#source.arm(this.#ready);
        return;
      }
      const waiting = this.#waiting!;
      this.#waiting = undefined;
      waiting.resolve({ value, done: false });
    } catch (error) {
      this.#waiting?.reject(error);
      this.#waiting = undefined;
      this.#abandon();
    }
  };

  /** Ends the wait where nobody can be told that this fails. */
  async #abandon(): Promise<void> {
    try {
      await this.#end();
    } catch {
      // The wait ends with an error anyway.
    }
  }

  /** Ends the wait; a `next` that is under way is done. */
  async return(): Promise<IteratorResult<number>> {
    await this.#end();
    return DONE;
  }

  #end(): Promise<void> | void {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal?.removeEventListener("abort", this.#abort);
    try {
      return this.#source.release();
    } finally {
      if (this.#signal?.aborted) this.#waiting?.reject(this.#signal.reason);
      else this.#waiting?.resolve(DONE);
      this.#waiting = undefined;
    }
  }

  /** The same as {@linkcode EventCounts.return}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }
}

const DONE: IteratorReturnResult<undefined> = { value: undefined, done: true };

/**
 * Takes the count of an eventfd.
 *
 * @param kernel The system.
 * @param fd The eventfd.
 * @returns The count; `undefined` where somebody else has taken it.
 */
export function readCount(
  kernel: Pick<Kernel, "read">,
  fd: number,
): number | undefined {
  const count = new BigUint64Array(1);
  try {
    kernel.read(fd, new Uint8Array(count.buffer));
  } catch (error) {
    if (hasErrno(error, "EAGAIN")) return undefined;
    throw error;
  }
  return Number(count[0]);
}
