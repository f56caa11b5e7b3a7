/**
 * Keeps a host at a desired state.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import { pause } from "./pause.ts";
import { apply, type ApplyOptions, rehearse } from "../apply.ts";
import type { DesiredState } from "../state/state.ts";
import type { Step } from "../steps/step.ts";
import { DeviceEvents } from "./device_events.ts";

/** How a host is kept at a state. */
export interface WatchOptions extends ApplyOptions {
  /**
   * How often the host is looked at where the kernel tells nothing, in
   * milliseconds: of files, for example, and of attributes. Default: 60,000.
   */
  readonly interval?: number;
  /**
   * Called for what happens.
   *
   * @param event What happened.
   */
  readonly onEvent?: (event: WatchEvent) => void;
}

/** What happened to a host that is kept at a state. */
export type WatchEvent =
  /** The host was found to be at the state, which it was not before. */
  | { readonly event: "settled" }
  /** The host is not at the state: these steps bring it there. */
  | { readonly event: "drifted"; readonly steps: readonly Step[] }
  /** These steps were made. */
  | { readonly event: "mended"; readonly steps: readonly Step[] }
  /** It could not be brought to the state. It is tried again. */
  | { readonly event: "failed"; readonly error: VfioError };

const INTERVAL = 60_000;
/** The shortest and the longest pause after a change, in milliseconds. */
const LEAST = 50;
const MOST = 60_000;

/**
 * Applies a state, and applies it again whenever the host is not at it any more:
 * when a card was plugged in, or another driver has bound a function. The kernel
 * says when something happens to a device; all else is looked at in intervals.
 * What drifts again and again is mended less and less often.
 *
 * It ends when the signal aborts, and leaves the host as it is.
 *
 * @param host The host.
 * @param state The desired state.
 * @param options Those of {@linkcode apply}, the interval and a callback.
 * @throws {TypeError} When the state is invalid.
 * @throws {KernelError} When the kernel's events cannot be received.
 *
 * @example
 * ```ts
 * import { simulate } from "@passthru/vfio/sim";
 * import { watch } from "@passthru/vfio/provision";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * const stop = new AbortController();
 * await watch(host, {
 *   functions: [{ select: "0000:01:00.0", driver: "vfio-pci" }],
 * }, {
 *   signal: stop.signal,
 *   onEvent({ event }) {
 *     console.log(event); // drifted, mended
 *     if (event === "mended") stop.abort();
 *   },
 * });
 * ```
 */
export async function watch(
  host: Host,
  state: DesiredState,
  options: WatchOptions = {},
): Promise<void> {
  const { interval = INTERVAL, signal } = options;
  using events = new DeviceEvents(host.kernel);
  const round = new Rounds(host, state, options);
  let changes = 0;
  try {
    while (!signal?.aborted) {
      const outcome = await round.run();
      if (outcome === "mended") {
        // Whatever undoes it at once would undo it again.
        await pause(Math.min(LEAST * 2 ** ++changes, MOST), signal);
        events.skip();
        continue;
      }
      const start = performance.now();
      const retry = Math.min(interval, MOST);
      await events.wait(outcome === "failed" ? retry : interval, signal);
      if (performance.now() - start >= retry) changes = 0;
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

/** Looks at a host, and brings it to a state. */
class Rounds {
  readonly #host: Host;
  readonly #state: DesiredState;
  readonly #options: WatchOptions;
  #isSettled = false;
  #failure = "";
  #drift = "";

  constructor(host: Host, state: DesiredState, options: WatchOptions) {
    this.#host = host;
    this.#state = state;
    this.#options = options;
  }

  /** Returns how it went. */
  async run(): Promise<"settled" | "mended" | "failed"> {
    const { onEvent, signal } = this.#options;
    try {
      const { steps } = await rehearse(
        this.#host,
        this.#state,
        this.#options,
      );
      if (steps.length === 0) {
        if (!this.#isSettled || this.#failure !== "") {
          onEvent?.({ event: "settled" });
        }
        this.#isSettled = true;
        this.#failure = "";
        this.#drift = "";
        return "settled";
      }
      // What could not be mended is not said again and again.
      const drift = JSON.stringify(steps);
      if (drift !== this.#drift) onEvent?.({ event: "drifted", steps });
      this.#drift = drift;
      const applied = await apply(this.#host, this.#state, this.#options);
      this.#failure = "";
      this.#drift = "";
      this.#isSettled = false;
      onEvent?.({ event: "mended", steps: applied.steps });
      return "mended";
    } catch (error) {
      if (signal?.aborted || !(error instanceof VfioError)) throw error;
      if (error.message !== this.#failure) {
        onEvent?.({ event: "failed", error });
      }
      this.#failure = error.message;
      return "failed";
    }
  }
}
