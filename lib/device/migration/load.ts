import { writeData } from "./progress.ts";
import type { Stepper } from "./stepper.ts";

/** How a device's state is loaded. */
export interface LoadOptions {
  /**
   * Whether the device runs once its state is loaded. Otherwise it is stopped,
   * until `moveTo("running")`: of several devices, have all go to
   * `"running-p2p"` before the first one runs.
   *
   * @default {true}
   */
  readonly run?: boolean;
  /**
   * Gives the load up. The device is reset then, and runs.
   */
  readonly signal?: AbortSignal;
}

/**
 * Loads a state into a device.
 *
 * @param stepper The device.
 * @param options Whether it runs after that.
 * @returns Takes the state's bytes.
 */
export function load(
  stepper: Stepper,
  { run = true, signal }: LoadOptions,
): WritableStream<Uint8Array> {
  let transfer: Disposable | undefined;
  let abort = () => {};
  const end = () => {
    signal?.removeEventListener("abort", abort);
    transfer?.[Symbol.dispose]();
    transfer = undefined;
  };
  const giveUp = async () => {
    if (transfer === undefined) return;
    try {
      await stepper.recover();
    } finally {
      end();
    }
  };
  const attempt = async (step: () => Promise<void>) => {
    try {
      signal?.throwIfAborted();
      if (transfer === undefined) {
        transfer = stepper.transfer();
        signal?.addEventListener("abort", abort);
        await stepper.move("resuming");
      }
      await step();
    } catch (error) {
      throw await stepper.giveUp(error, "load a state into it", giveUp);
    }
  };
  return new WritableStream<Uint8Array>({
    start(controller) {
      abort = () => {
        controller.error(signal!.reason);
        giveUp().catch(() => {});
      };
    },
    write: (chunk) => attempt(() => writeData(stepper, chunk, signal)),
    close: () =>
      attempt(async () => {
        await stepper.move("stop");
        if (run) await stepper.move("running");
        end();
      }),
    abort: giveUp,
  });
}
