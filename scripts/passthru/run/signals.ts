/**
 * Handles the signals that ask a program to end while it runs another one.
 *
 * @module
 */

import { ignoresHangup } from "./hangup.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The signals that ask a program to end. */
export type EndSignal = typeof SIGNALS[number];

/**
 * Keeps signals from ending this process until it is disposed of, so that the
 * process can restore what it has changed.
 */
export class Signals implements Disposable {
  readonly #abort = new AbortController();
  readonly #stack = new DisposableStack();
  #receiver: ((signal: EndSignal) => void) | undefined;

  /** Starts to receive the signals. */
  constructor() {
    const ignored = ignoresHangup();
    for (const signal of SIGNALS) {
      const isIgnored = signal === "SIGHUP" && ignored;
      const receive = () => {
        if (isIgnored) return;
        if (this.#receiver !== undefined) this.#receiver(signal);
        else {
          this.#abort.abort(
            new DOMException(`Ended by ${signal}`, "AbortError"),
          );
        }
      };
      Deno.addSignalListener(signal, receive);
      this.#stack.defer(() => Deno.removeSignalListener(signal, receive));
    }
  }

  /** Aborted by a signal that comes before {@linkcode passOn}. */
  get aborted(): AbortSignal {
    return this.#abort.signal;
  }

  /** Passes every further signal to `receiver`. */
  passOn(receiver: (signal: EndSignal) => void): void {
    this.#receiver = receiver;
  }

  /** Lets signals end this process again. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
