/**
 * Brings a host to a desired state.
 *
 * @module
 */

import { refuseInUse } from "../host/guards/refuse.ts";
import type { Host } from "../host/host.ts";
import type { PciFunction } from "../host/pci/function.ts";
import { isVfioDriver } from "../host/driver/vfio_driver.ts";
import { traced } from "../tracing.ts";
import { functionIfThere } from "./steps/functions.ts";
import {
  type Applied,
  type ApplyStepsOptions,
  makeSteps,
  underLock,
} from "./make.ts";
import { type Plan, plan } from "./plan/plan.ts";
import type { DesiredState } from "./state/state.ts";
import type { Step } from "./steps/step.ts";

/** How a state is applied. */
export interface ApplyOptions extends ApplyStepsOptions {
  /**
   * The addresses of functions that are taken although the host uses them, for
   * example for a mounted file system. Default: none.
   */
  readonly insist?: readonly string[];
}

/**
 * Brings the host to a desired state; it does nothing where the host is in that
 * state. Each step is written to the journal before it is made. When one fails,
 * or the signal aborts, all steps are undone, the last first.
 * {@linkcode restore} undoes an apply later, also after its process was killed.
 *
 * @param host The host.
 * @param state The desired state.
 * @param options What to take although it is in use, a callback, a signal, and
 * a time limit in milliseconds for the wait for another process and for each
 * step.
 * @returns The changes. Disposing of them undoes them.
 * @throws {TypeError} When the state is invalid.
 * @throws {VfioError} The errors of {@linkcode plan}, `HOST_IN_USE` when the
 * host uses a function that would be taken, or `LOCKED` when another process is
 * changing the host: nothing is changed then. The error of a step, once
 * everything is undone; `RESTORE_INCOMPLETE` when not all could be undone.
 * @throws The signal's reason, once everything is undone.
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
  const describe = () => ({ devices: state.functions?.length ?? 0 });
  return await traced(
    "apply",
    describe,
    () =>
      underLock(host, options, async () => {
        const { steps } = await rehearse(host, state, options);
        return await makeSteps(host, steps, options);
      }),
  );
}

/**
 * Plans a state, and refuses what {@linkcode apply} refuses. Nothing is
 * changed.
 *
 * @param host The host.
 * @param state The desired state.
 * @param options What to take although it is in use, a signal, and a time limit
 * in milliseconds. A use that can end by itself is waited for, a second at most.
 * @returns The plan, whose steps an apply would make now.
 * @throws {TypeError} When the state is invalid.
 * @throws {VfioError} The errors of {@linkcode plan}, and `HOST_IN_USE`.
 *
 * @example
 * ```ts
 * import { simulate } from "@passthru/vfio/sim";
 * import { rehearse } from "@passthru/vfio/provision";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * const { steps } = await rehearse(host, {
 *   functions: [{ select: "0000:01:00.0", driver: "vfio-pci" }],
 * });
 * console.log(steps.length); // 1
 * ```
 */
export async function rehearse(
  host: Host,
  state: DesiredState,
  { insist, timeout, signal }: ApplyOptions = {},
): Promise<Plan> {
  const planned = plan(host, state);
  await refuseInUse(host, takenBy(host, planned.steps), insist, {
    ...timeout === undefined ? {} : { timeout },
    ...signal === undefined ? {} : { signal },
  });
  return planned;
}

/** The functions that steps take from the host, or remove. */
function takenBy(host: Host, steps: readonly Step[]): PciFunction[] {
  const leavingFunctions = steps.flatMap(
    (step): PciFunction | PciFunction[] => {
      if (step.kind === "virtual functions") {
        return functionIfThere(host, step.device)?.virtualFunctions ?? [];
      }
      if (step.kind !== "driver") return [];
      const fn = functionIfThere(host, step.device);
      // When it leaves a VFIO driver, the move itself waits until no process has
      // it open.
      return fn === undefined || isVfioDriver(fn.driver ?? "") ? [] : fn;
    },
  );
  return [...new Map(leavingFunctions.map((fn) => [fn.address, fn])).values()];
}
