/**
 * What happens to a program that is told to end while it has another run.
 *
 * @module
 */

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The signals that end a program in an orderly way. */
export type EndSignal = typeof SIGNALS[number];

/**
 * Keeps this process from ending at a signal, until it is disposed of: what it
 * has changed is to be put back.
 */
export class Signals implements Disposable {
  readonly #abort = new AbortController();
  readonly #stack = new DisposableStack();
  #receiver: ((signal: EndSignal) => void) | undefined;

  /** Begins to keep signals. */
  constructor() {
    for (const signal of SIGNALS) {
      const receive = () => {
        if (this.#receiver !== undefined) this.#receiver(signal);
        else this.#abort.abort(new Error(`Ended by ${signal}`));
      };
      Deno.addSignalListener(signal, receive);
      this.#stack.defer(() => Deno.removeSignalListener(signal, receive));
    }
  }

  /** Aborted by a signal that comes before there is somebody to pass it to. */
  get aborted(): AbortSignal {
    return this.#abort.signal;
  }

  /** Has every signal passed on from now on. */
  passOn(receiver: (signal: EndSignal) => void): void {
    this.#receiver = receiver;
  }

  /** Lets signals end this process again. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
