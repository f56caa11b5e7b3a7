/**
 * Lists what is applied.
 *
 * @module
 */

import { Deadline, type WaitOptions } from "../host/driver/deadline.ts";
import type { Host } from "../host/host.ts";
import { Journal } from "./journal/journal.ts";
import type { Step } from "./steps/step.ts";
import { kindOf } from "./steps/kinds.ts";

/** An apply that was not undone. */
export interface AppliedStatus {
  /** The name it was applied under. */
  readonly name: string | undefined;
  /** When it was applied. */
  readonly since: Date;
  /** The process that applied. */
  readonly process: { readonly pid: number; readonly name: string };
  /** Its steps that were begun and not undone, in that order. */
  readonly steps: readonly StepStatus[];
}

/** A step of an apply. */
export interface StepStatus {
  /** The step. */
  readonly step: Step;
  /**
   * Whether it was completed. If not, its process ended before, or is still
   * making it.
   */
  readonly made: boolean;
  /** Whether the host is still as the step left it. */
  readonly holds: boolean;
}

/**
 * Reads from the journal what is applied to a host and not undone, and checks
 * whether the host is still like that.
 *
 * @param host The host.
 * @param options How long the attributes of the host may take to read.
 * @returns The applies, the oldest first, without those whose journal is
 * damaged: {@linkcode damagedJournals} lists them.
 * @throws {VfioError} `PERMISSION_DENIED`, or `KERNEL`.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { status } from "@passthru/vfio/provision";
 *
 * const host = simulate();
 * for (const { name, since, steps } of await status(host)) {
 *   const gone = steps.filter(({ holds }) => !holds);
 *   console.log(name, since, `${steps.length} steps, ${gone.length} gone`);
 * }
 * ```
 */
export async function status(
  host: Host,
  options: WaitOptions = {},
): Promise<AppliedStatus[]> {
  const found: AppliedStatus[] = [];
  for (const { head, entries } of Journal.applies(host.kernel)) {
    const steps: StepStatus[] = [];
    for (const { step, made, undone } of entries) {
      if (undone) continue;
      steps.push({ step, made, holds: await holds(host, step, options) });
    }
    if (steps.length === 0) continue;
    const { name, at, pid, process } = head;
    found.push({
      name,
      since: new Date(at),
      process: { pid, name: process },
      steps,
    });
  }
  return found;
}

async function holds(
  host: Host,
  step: Step,
  options: WaitOptions,
): Promise<boolean> {
  try {
    const work = { host, deadline: new Deadline(options) };
    return await kindOf(step).holds(work, step);
  } catch {
    options.signal?.throwIfAborted();
    return false;
  }
}
