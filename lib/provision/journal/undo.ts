/**
 * Undoing the steps of a journal.
 *
 * @module
 */

import { toVfioError, VfioError } from "../../errors.ts";
import { Deadline, DEFAULT_TIMEOUT } from "../../host/driver/deadline.ts";
import type { Host } from "../../host/host.ts";
import { functionIfThere } from "../steps/functions.ts";
import { Pace } from "./callback.ts";
import { damageError } from "../../host/journal/journal_file.ts";
import type { StepEntry, StepJournal } from "./journals.ts";
import { stages } from "../steps/stages.ts";
import type { Step } from "../steps/step.ts";
import { kindOf } from "../steps/kinds.ts";

/** A step that could not be undone. */
export interface LeftStep {
  /** The step. */
  readonly step: Step;
  /** Why it could not be undone. */
  readonly error: unknown;
}

/** How steps are undone. */
export interface UndoOptions {
  /** The longest that each may take, in milliseconds. */
  readonly timeout?: number;
  /** Stops before the next step. */
  readonly signal?: AbortSignal;
  /** Called for each step that is undone. It throws nothing. */
  readonly onUndone?: (step: Step) => void;
}

/**
 * Undoes steps of a journal, the last first. Steps of different functions are
 * undone in parallel. After a failure it goes on with the other steps.
 *
 * @param host The host.
 * @param journal The journal.
 * @param entries The steps to undo, the last first.
 * @param options The time limit, a signal, and a callback.
 * @returns What could not be undone.
 * @throws The signal's reason. What is not undone by then stays in the journal.
 */
export async function undoSteps(
  host: Host,
  journal: StepJournal,
  entries: readonly StepEntry[],
  options: UndoOptions = {},
): Promise<LeftStep[]> {
  const { timeout, signal, onUndone } = options;
  const left: LeftStep[] = [];
  const undo = async (entry: StepEntry) => {
    const { number, step, before, made, result } = entry;
    try {
      refuseInTheWay(host, step, left);
      const kind = kindOf(step);
      const least = Math.max(timeout ?? DEFAULT_TIMEOUT, kind.patience ?? 0);
      const work = { host, deadline: new Deadline({ timeout: least }) };
      await kind.undo(work, step, before, made, result);
    } catch (error) {
      left.push({ step, error: explain(error, journal, step) });
      return;
    }
    note(journal, number);
    onUndone?.(step);
  };
  const pace = new Pace();
  for (const lanes of stages(host, entries, ({ step }) => step)) {
    await forEachAtOnce(lanes, async (lane) => {
      for (const entry of lane) {
        await pace.step();
        signal?.throwIfAborted();
        await undo(entry);
      }
    });
  }
  return left;
}

/** Explains why a step could not be undone. */
function explain(error: unknown, { id }: StepJournal, step: Step): unknown {
  // What was captured before the step is not what its kind captures.
  if (error instanceof TypeError || error instanceof RangeError) {
    const problem = `the record of ${step.kind} in the journal ${id} is ` +
      `damaged: ${error.message}`;
    return damageError(id, problem, error);
  }
  return toVfioError(error, "restore", step.device);
}

/** How many run at once: each write to sysfs is a process of its own. */
const WIDTH = 8;

/**
 * Does something with each item, several at once. Returns when all are over.
 *
 * @param items The items.
 * @param work What is done.
 * @throws The first error.
 */
export async function forEachAtOnce<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  const waiting = items.values();
  const takeTurns = async () => {
    for (const item of waiting) {
      await work(item).catch((error) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, takeTurns));
  if (failures.length > 0) throw failures[0];
}

/** Refuses to remove virtual functions that somebody else uses now. */
function refuseInTheWay(
  host: Host,
  step: Step,
  left: readonly LeftStep[],
): void {
  if (step.kind !== "virtual functions") return;
  const fn = functionIfThere(host, step.device);
  const virtual = fn?.virtualFunctions.map(({ address }) => address) ?? [];
  // Their network settings go with them, so a step of that kind is not in the
  // way.
  const unrestored = left.find(({ step: { device, kind } }) =>
    device !== undefined && virtual.includes(device) && kind !== "vf network"
  );
  if (unrestored === undefined) return;
  throw new VfioError("DEVICE_BUSY", {
    device: step.device,
    problem: `its virtual function ${unrestored.step.device} could not be ` +
      "restored, so none of them is removed",
    hint: "restore again once that can be restored",
  });
}

/**
 * Notes that a step is undone. This may fail: undoing a step again does
 * nothing.
 */
function note(journal: StepJournal, number: number): void {
  try {
    journal.undone(number);
  } catch {
    // No space, most likely.
  }
}
