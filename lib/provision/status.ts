/**
 * Lists what is applied, and what scripts have taken.
 *
 * @module
 */

import { Deadline, type WaitOptions } from "../host/driver/deadline.ts";
import type { Host } from "../host/host.ts";
import { allJournals } from "./journal/journals.ts";
import type { Step } from "./steps/step.ts";
import { kindOf } from "./steps/kinds.ts";

/** An apply that was not undone, or a device that a script has taken. */
export interface AppliedStatus {
  /**
   * The name of its journal, which {@linkcode forget} takes: `"apply-3"`, or
   * `"take-4"` for a device that a script has taken.
   */
  readonly id: string;
  /** The name it was applied under. */
  readonly name: string | undefined;
  /** When it was begun. */
  readonly since: Date;
  /** The process that made the changes. */
  readonly process: { readonly pid: number; readonly name: string };
  /**
   * Whether that process still has the device that it took: {@linkcode restore}
   * leaves it alone then.
   */
  readonly held: boolean;
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
  /** Whether the kernel has what it sets only from its next boot on. Default: false. */
  readonly pending?: boolean;
}

/**
 * Reads from the journal what is applied to a host and not undone, also by
 * `Host.take()`, and checks whether the host is still like that.
 *
 * @param host The host.
 * @param options How long the attributes of the host may take to read.
 * @returns The changes, the oldest first, without those whose journal is
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
  for (const journal of allJournals(host.kernel)) {
    const { id, head, entries } = journal;
    const steps: StepStatus[] = [];
    for (const { step, made, undone } of entries) {
      if (undone) continue;
      steps.push({
        step,
        made,
        holds: await holds(host, step, options),
        ...isPending(host, step) && { pending: true },
      });
    }
    if (steps.length === 0) continue;
    const { name, at, pid, process } = head;
    found.push({
      id,
      name,
      since: new Date(at),
      process: { pid, name: process },
      held: journal.holder !== undefined,
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

function isPending(host: Host, step: Step): boolean {
  const work = { host, deadline: new Deadline() };
  return kindOf(step).pending?.(work, step) ?? false;
}
