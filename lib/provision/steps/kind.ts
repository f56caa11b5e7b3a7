/**
 * The interface of a kind of step.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Deadline } from "../../host/driver/deadline.ts";
import type { Host } from "../../host/host.ts";
import type { Step } from "./step.ts";

/** The host and the deadline of a step. */
export interface Work {
  /** The host that is changed. */
  readonly host: Host;
  /** How long it may take. */
  readonly deadline: Deadline;
}

/**
 * How steps of one kind are made and undone. `B` is what is captured of the
 * host before a step. `M` is what is known only after it was made. Both are
 * stored as JSON, which drops `undefined` members.
 */
export interface StepKind<S extends Step = Step, B = unknown, M = unknown> {
  /**
   * The least time limit that a step has by default, in milliseconds, where it
   * takes longer than others.
   */
  readonly patience?: number;
  /** Returns whether the kernel has what the step sets only at its next boot. */
  pending?(work: Work, step: S): boolean;
  /** Returns whether the host is as the step makes it. */
  holds(work: Work, step: S): Promise<boolean>;
  /** Captures the part of the host that the step changes. */
  capture(work: Work, step: S): Promise<B>;
  /** Makes the step. Returns what undoing it needs to know. */
  make(work: Work, step: S, before: B): Promise<M>;
  /**
   * Undoes the step, from any point that it reached. It does nothing for what
   * is as before already, or does not exist any more.
   *
   * @param made Whether the step is known to have been completed.
   * @param result The result of making it, if it was completed.
   * @throws {VfioError} `WRONG_DRIVER` or `CHANGED` when somebody else has
   * changed it since. It stays as it is then.
   */
  undo(
    work: Work,
    step: S,
    before: B,
    made: boolean,
    result?: M,
  ): Promise<void>;
}

/**
 * Makes the error for something that somebody else has changed.
 *
 * @param device The device.
 * @param change What was changed, as the start of a sentence.
 */
export function changed(device: string | undefined, change: string): VfioError {
  return new VfioError("CHANGED", {
    device,
    problem: `${change} meanwhile, and is left as it is`,
    hint: "set it back to what was applied, and restore again",
  });
}

/**
 * Makes the error for something that did not happen in time.
 *
 * @param device The device.
 * @param failure What did not happen, as a sentence.
 * @param deadline The deadline that has passed.
 */
export function late(
  device: string | undefined,
  failure: string,
  { timeout }: Deadline,
): VfioError {
  return new VfioError("TIMED_OUT", {
    device,
    problem: `${failure} in ${timeout} ms`,
    hint: "the kernel's log may say why: dmesg",
  });
}
