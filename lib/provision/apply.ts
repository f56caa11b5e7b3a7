/**
 * Making the host what it should be.
 *
 * @module
 */

import { refuseInUse } from "../host/guards/refuse.ts";
import type { Host } from "../host/host.ts";
import type { PciFunction } from "../host/pci/function.ts";
import { isVfioDriver } from "../host/driver/vfio_driver.ts";
import { functionIfThere } from "./steps/functions.ts";
import {
  type Applied,
  type ApplyStepsOptions,
  makeSteps,
  underLock,
} from "./make.ts";
import { plan } from "./plan/plan.ts";
import type { DesiredState } from "./state/state.ts";
import type { Step } from "./steps/step.ts";

/** How a state is applied. */
export interface ApplyOptions extends ApplyStepsOptions {
  /**
   * The addresses of functions that are taken although the host uses them, with
   * a mounted file system on them for example. Default: none.
   */
  readonly insist?: readonly string[];
}

/**
 * Makes the host what it should be, and does nothing where it is. Each step is
 * in the journal before it is made; when one fails, or the signal says so, all
 * that was made is undone, the last first. After that, and after a process that
 * was killed, {@linkcode restore} brings back what was.
 *
 * @param host The host.
 * @param state What it should be.
 * @param options What is insisted on, who is told, a signal, and the longest in
 * milliseconds that the wait for another process may take, and each step.
 * @returns What was made; it is undone when it is disposed of.
 * @throws {TypeError} When the state is none.
 * @throws {VfioError} What {@linkcode plan} refuses, `HOST_IN_USE` when the
 * host uses what would be taken from it, and `LOCKED` when another process is
 * changing it: nothing is changed then. What a step failed with, when
 * everything is undone; `RESTORE_INCOMPLETE` when not all could be.
 * @throws The signal's reason, when everything is undone.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { apply } from "@passthru/vfio/provision";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * await using applied = await apply(host, {
 *   functions: [{ select: "0000:01:00.0", driver: "vfio-pci" }],
 * });
 * console.log(applied.steps.length, host.function("01:00.0").driver);
 * // The host is as it was at the end of the block.
 * ```
 */
export async function apply(
  host: Host,
  state: DesiredState,
  options: ApplyOptions = {},
): Promise<Applied> {
  const { insist, timeout, signal } = options;
  return await underLock(host, options, async () => {
    const { steps } = plan(host, state);
    await refuseInUse(host, takenBy(host, steps), insist, {
      ...timeout === undefined ? {} : { timeout },
      ...signal === undefined ? {} : { signal },
    });
    return await makeSteps(host, steps, options);
  });
}

/** The functions that steps take from the host, or remove. */
function takenBy(host: Host, steps: readonly Step[]): PciFunction[] {
  const leaving = steps.flatMap((step): PciFunction | PciFunction[] => {
    if (step.kind === "virtual functions") {
      return functionIfThere(host, step.device)?.virtualFunctions ?? [];
    }
    if (step.kind !== "driver") return [];
    const fn = functionIfThere(host, step.device);
    // From a VFIO driver, the move itself waits for whoever has it open.
    return fn === undefined || isVfioDriver(fn.driver ?? "") ? [] : fn;
  });
  return [...new Map(leaving.map((fn) => [fn.address, fn])).values()];
}
