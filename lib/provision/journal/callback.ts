/**
 * What the caller gets to run between steps: its callbacks, timers and signals.
 *
 * @module
 */

/**
 * A function of the caller's that is told what was undone. What it throws stops
 * nothing: undoing goes on, and reports it at the end.
 */
export class Listener<T> {
  readonly #callback: ((event: T) => void) | undefined;
  readonly #errors: unknown[] = [];

  /**
   * Calls nothing yet.
   *
   * @param callback The caller's function, if there is one.
   */
  constructor(callback: ((event: T) => void) | undefined) {
    this.#callback = callback;
  }

  /** What the function threw. */
  get errors(): readonly unknown[] {
    return this.#errors;
  }

  /**
   * Calls the function.
   *
   * @param event Its argument.
   */
  call(event: T): void {
    try {
      this.#callback?.(event);
    } catch (error) {
      this.#errors.push(error);
    }
  }
}

/** How many steps are made before the event loop runs: a turn takes 1 ms. */
const STEPS_PER_TURN = 8;

/**
 * Lets timers and signals of the process run between steps. Steps that change
 * files never wait, so that nothing else would run before the last one.
 */
export class Pace {
  #steps = 0;
  #turn = Promise.resolve();

  /**
   * Waits for a turn of the event loop before the first step, and now and then
   * after that. Steps that are made at once wait together.
   */
  async step(): Promise<void> {
    if (this.#steps++ % STEPS_PER_TURN === 0) {
      this.#turn = new Promise((resolve) => void setTimeout(resolve));
    }
    await this.#turn;
  }
}
