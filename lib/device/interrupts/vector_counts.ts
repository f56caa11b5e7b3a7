/** Who is given the counts of a vector. */
export interface Consumer {
  /** Whether the process need not stay for it. */
  readonly inBackground: boolean;
  /** Whether it waits for a count. */
  readonly isWaiting: boolean;
  /** Gives it a count. */
  deliver(count: number): void;
  /** Tells it that no count will come; with the error, where there is one. */
  end(error?: unknown): void;
}

/** The place of consumers: a vector. */
export interface Hub {
  /** Called when a consumer begins to wait, or ceases to. */
  changed(): void;
  /** Gives a consumer up. */
  remove(consumer: Consumer): void;
}

/** Waits for one count. */
export class OneCount implements Consumer {
  readonly inBackground = false;
  readonly isWaiting = true;
  readonly #hub: Hub;
  readonly #signal: AbortSignal | undefined;
  readonly #count = Promise.withResolvers<number>();
  readonly #abort = () => this.#settle(this.#signal!.reason);
  readonly #ended: () => unknown;

  /**
   * @param hub The vector.
   * @param ended Makes the error for when the vector was disconnected.
   * @param signal Gives the wait up.
   */
  constructor(hub: Hub, ended: () => unknown, signal: AbortSignal | undefined) {
    this.#hub = hub;
    this.#ended = ended;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
  }

  /** The count. */
  get count(): Promise<number> {
    return this.#count.promise;
  }

  deliver(count: number): void {
    this.#count.resolve(count);
    this.#leave();
  }

  end(error: unknown = this.#ended()): void {
    this.#settle(error);
  }

  #settle(error: unknown): void {
    this.#count.reject(error);
    this.#leave();
  }

  #leave(): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#hub.remove(this);
  }
}

/** Calls a function with each count. */
export class Listener implements Consumer, Disposable {
  readonly isWaiting = true;
  readonly inBackground: boolean;
  readonly #hub: Hub;
  readonly #listener: (count: number) => void;

  /**
   * @param hub The vector.
   * @param listener The function.
   * @param inBackground Whether the process need not stay for it.
   */
  constructor(
    hub: Hub,
    listener: (count: number) => void,
    inBackground: boolean,
  ) {
    this.#hub = hub;
    this.#listener = listener;
    this.inBackground = inBackground;
  }

  deliver(count: number): void {
    try {
      this.#listener(count);
    } catch (error) {
      // It would leave a callback of native code, where nobody can catch it.
      reportError(error);
    }
  }

  end(error?: unknown): void {
    this.#hub.remove(this);
    if (error !== undefined) reportError(error);
  }

  [Symbol.dispose](): void {
    this.#hub.remove(this);
  }
}

/** Iterates over counts, which add up while the next one is not asked for. */
export class VectorCounts implements Consumer, AsyncIterableIterator<number> {
  readonly inBackground = false;
  readonly #hub: Hub;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.#finish(this.#signal!.reason);
  #waiting: PromiseWithResolvers<IteratorResult<number>> | undefined;
  #count = 0;
  #isOver = false;

  /**
   * @param hub The vector.
   * @param signal Ends the iteration, with its reason as the error.
   */
  constructor(hub: Hub, signal: AbortSignal | undefined) {
    this.#hub = hub;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
  }

  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  deliver(count: number): void {
    this.#count += count;
    this.#waiting?.resolve({ value: this.#take(), done: false });
    this.#waiting = undefined;
  }

  end(error?: unknown): void {
    this.#finish(error);
  }

  next(): Promise<IteratorResult<number>> {
    if (this.#signal?.aborted) return Promise.reject(this.#signal.reason);
    if (this.#waiting !== undefined) {
      return this.#waiting.promise.then(() => this.next());
    }
    if (this.#count > 0) {
      return Promise.resolve({ value: this.#take(), done: false });
    }
    if (this.#isOver) return Promise.resolve(DONE);
    const { promise } = this.#waiting = Promise.withResolvers();
    this.#hub.changed();
    return promise;
  }

  return(): Promise<IteratorResult<number>> {
    this.#finish();
    return Promise.resolve(DONE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }

  #finish(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#signal?.removeEventListener("abort", this.#abort);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve(DONE);
    else waiting?.reject(error);
    this.#hub.remove(this);
  }
}

const DONE: IteratorReturnResult<undefined> = { value: undefined, done: true };
