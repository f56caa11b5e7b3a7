/**
 * The signals that ask a process to end: Ctrl-C, `kill`, and the end of its
 * terminal or session.
 *
 * @module
 */

import { localKernel } from "./local.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** A signal that asks a process to end. */
export type EndSignal = typeof SIGNALS[number];

/** SIGHUP in a mask of signals, of which the first has the number 1. */
const SIGHUP_BIT = 1n;

let ignored: boolean | undefined;

/**
 * Whether this process was started with SIGHUP ignored, as `nohup` does. The
 * first call comes before Deno listens to any signal: then Deno takes SIGHUP as
 * well, and ends the process by it.
 */
function ignoresHangup(): boolean {
  return ignored ??= readIgnored();
}

function readIgnored(): boolean {
  // A script for simulated hosts has no permission, and is not to ask for it.
  const ffi = Deno.permissions.querySync({ name: "ffi" });
  if (ffi.state !== "granted") return false;
  try {
    const status = localKernel().readFile("/proc/self/status");
    const [, mask] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status) ?? [];
    return mask !== undefined && (BigInt(`0x${mask}`) & SIGHUP_BIT) !== 0n;
  } catch {
    return false;
  }
}

/**
 * Receives the signals that ask this process to end, which then do not end it.
 * Under `nohup` SIGHUP stays ignored.
 *
 * @param receive Called for each of them.
 * @returns Lets them end the process again, when it is disposed of. What was
 * ignored stays so.
 */
export function onEndSignal(receive: (signal: EndSignal) => void): Disposable {
  const hangupIgnored = ignoresHangup();
  const stack = new DisposableStack();
  for (const signal of SIGNALS) {
    if (signal === "SIGHUP" && hangupIgnored) {
      Deno.addSignalListener(signal, () => {});
      continue;
    }
    const listener = () => receive(signal);
    Deno.addSignalListener(signal, listener);
    stack.defer(() => Deno.removeSignalListener(signal, listener));
  }
  return stack;
}

/**
 * Waits until a signal is aborted. Meanwhile the process does not end.
 *
 * @param signal The signal.
 */
export function waitUntilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // A timer keeps the process alive, which a listener does not.
    const timer = setInterval(() => {}, 2 ** 30);
    const end = () => {
      clearInterval(timer);
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

/**
 * Lets a script put everything back when it is asked to end: by Ctrl-C (SIGINT),
 * by `kill` (SIGTERM), or because its terminal or SSH session ends (SIGHUP,
 * which stays ignored under `nohup`).
 *
 * The first of these signals does not end the process, but aborts
 * {@linkcode Interruption.signal}, which everything takes that waits. What it
 * throws leads through all `using` declarations to the end of the script. A
 * second signal ends the process at once.
 *
 * Make it before anything is changed, and before any other signal listener.
 *
 * @example Hold a device until Ctrl-C
 * ```ts ignore
 * import { AddressSpace, Host, Interruption, VfioDevice } from "@passthru/vfio";
 *
 * using interruption = new Interruption();
 * const { signal } = interruption;
 * await using taken = await new Host().take("0000:01:00.0", { signal });
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach(taken.device, space);
 * await interruption.wait();
 * // Here everything is put back.
 * ```
 */
export class Interruption implements Disposable {
  readonly #abort = new AbortController();
  readonly #listening: Disposable;

  /** Starts to receive the signals. */
  constructor() {
    this.#listening = onEndSignal((signal) => {
      this[Symbol.dispose]();
      this.#abort.abort(
        new DOMException(`Interrupted by ${signal}`, "AbortError"),
      );
    });
  }

  /** Aborted by the first signal. Its reason names that. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Waits for the first signal. Meanwhile the process does not end. */
  async wait(): Promise<void> {
    await waitUntilAborted(this.signal);
  }

  /** Lets signals end the process again. */
  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}
