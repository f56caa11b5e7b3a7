/**
 * The interruption of the command: Ctrl-C, and the end of its terminal or
 * session.
 *
 * @module
 */

/** The interruption of this process. */
export class CommandInterruption {
  readonly #abort = new AbortController();

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * Starts to hear signals, before anything is changed. Until then a signal
   * ends the process, which so starts without libc.
   */
  async start(): Promise<void> {
    const { Interruption } = await import(
      "../../../lib/kernel/interruption.ts"
    );
    const { signal } = new Interruption();
    signal.addEventListener("abort", () => this.#abort.abort(signal.reason));
  }
}
