/**
 * Handles the signals that ask a program to end while it runs another one.
 *
 * @module
 */

import {
  type EndSignal,
  onEndSignal,
} from "../../../lib/kernel/interruption.ts";

/**
 * Keeps signals from ending this process until it is disposed of, so that the
 * process can restore what it has changed.
 */
export class Signals implements Disposable {
  readonly #abort = new AbortController();
  readonly #listening: Disposable;
  #receiver: ((signal: EndSignal) => void) | undefined;

  /** Starts to receive the signals. */
  constructor() {
    this.#listening = onEndSignal((signal) => {
      if (this.#receiver !== undefined) return this.#receiver(signal);
      this.#abort.abort(new DOMException(`Ended by ${signal}`, "AbortError"));
    });
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
    this.#listening[Symbol.dispose]();
  }
}
