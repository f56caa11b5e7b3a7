/**
 * What apply and restore know of a kind of step.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Deadline } from "../../host/driver/deadline.ts";
import type { Host } from "../../host/host.ts";
import type { Step } from "./step.ts";

/** What a step is made with. */
export interface Work {
  /** The host that is changed. */
  readonly host: Host;
  /** How long it may take. */
  readonly deadline: Deadline;
}

/**
 * How steps of one kind are made and undone. `B` is what is captured of the
 * host before a step, and `M` what is known only when it was made, as JSON can
 * hold them; `undefined` members get lost.
 */
export interface StepKind<S extends Step = Step, B = unknown, M = unknown> {
  /** Whether the host is as the step wants it. */
  holds(work: Work, step: S): Promise<boolean>;
  /** What the host has in the place of what the step changes. */
  capture(work: Work, step: S): Promise<B>;
  /** Makes the step, and gives what there is to know of it to undo it. */
  make(work: Work, step: S, before: B): Promise<M>;
  /**
   * Brings back what was, from wherever the step got to; what is back already
   * is well, and so is what is there no longer.
   *
   * @param made Whether the step is known to have been made whole.
   * @param result What making it gave, where it was.
   * @throws {VfioError} `WRONG_DRIVER` or `CHANGED` when somebody else has
   * changed it since, and it stays as it is.
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
 * The error for what somebody else has changed.
 *
 * @param device The device it is about.
 * @param what What was changed, and how.
 */
export function changed(device: string | undefined, what: string): VfioError {
  return new VfioError("CHANGED", {
    device,
    problem: `${what} meanwhile, and stays like that`,
    hint: "restore again when it is as it was left",
  });
}

/**
 * The error for what was not there in time.
 *
 * @param device The device it is about.
 * @param what What did not happen.
 * @param deadline How long it was waited for.
 */
export function late(
  device: string | undefined,
  what: string,
  { timeout }: Deadline,
): VfioError {
  return new VfioError("TIMED_OUT", {
    device,
    problem: `${what} in ${timeout} ms`,
    hint: "the kernel's log may say why: dmesg",
  });
}
