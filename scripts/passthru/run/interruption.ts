/**
 * The signals that interrupt the command: Ctrl-C, and those of a terminal or a
 * session that ends.
 *
 * @module
 */

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The interruption of this process. */
export class Interruption {
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
    // Read first: with any listener Deno takes SIGHUP as well.
    const { ignoresHangup } = await import("./hangup.ts");
    const isIgnored = ignoresHangup();
    const interrupt = () => {
      // A second signal ends the process at once. `passthru restore` undoes
      // what is left.
      for (const signal of SIGNALS) {
        if (signal === "SIGHUP" && isIgnored) continue;
        Deno.removeSignalListener(signal, interrupt);
      }
      this.#abort.abort();
    };
    for (const signal of SIGNALS) {
      const ignores = signal === "SIGHUP" && isIgnored;
      Deno.addSignalListener(signal, ignores ? () => {} : interrupt);
    }
  }
}
