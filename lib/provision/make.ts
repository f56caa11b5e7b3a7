/**
 * Makes steps, and undoes them when one fails.
 *
 * @module
 */

import { toVfioError, VfioError } from "../errors.ts";
import {
  Deadline,
  DEFAULT_TIMEOUT,
  type WaitOptions,
} from "../host/driver/deadline.ts";
import type { Host } from "../host/host.ts";
import { logSteps } from "./journal/change_log.ts";
import { Listener, Pace } from "./journal/callback.ts";
import { locked } from "../host/journal/lock.ts";
import {
  allJournals,
  nextJournal,
  type StepJournal,
} from "./journal/journals.ts";
import {
  incomplete,
  leftText,
  type Restored,
  type RestoreOptions,
  undoJournals,
} from "./restore.ts";
import { stages } from "./steps/stages.ts";
import type { Step } from "./steps/step.ts";
import { kindOf } from "./steps/kinds.ts";
import { forEachAtOnce, undoSteps } from "./journal/undo.ts";

/** How steps are made. */
export interface ApplyStepsOptions extends WaitOptions {
  /** Its name in {@linkcode status}. */
  readonly name?: string;
  /**
   * Whether {@linkcode restore} leaves the changes alone until this process
   * undoes them or ends, as it does with what `Host.take()` has taken. Default:
   * false.
   */
  readonly held?: boolean;
  /**
   * Called for each step when it is in the journal and about to be made, when
   * it was made, and when it was undone because another one failed. An error
   * that it throws ends the apply, and everything is undone. While steps are
   * undone, it stops nothing: the error that is thrown has it in its `cause`.
   *
   * @param event What happened.
   */
  readonly onStep?: (event: StepEvent) => void;
}

/** What happened to a step. */
export interface StepEvent {
  /** The step. */
  readonly step: Step;
  /** What happened. */
  readonly phase: "begun" | "made" | "undone";
}

/** The changes that an apply made. Disposing of it undoes them. */
export class Applied implements AsyncDisposable {
  /** The steps that were made, in the order in which they were begun. */
  readonly steps: readonly Step[];
  readonly #host: Host;
  readonly #journal: StepJournal;
  readonly #timeout: number | undefined;
  readonly #hold: Disposable | undefined;

  /**
   * Made by {@linkcode apply}.
   *
   * @param host The host.
   * @param journal The journal of the changes.
   * @param timeout The longest that each step may take, in milliseconds.
   * @param hold Keeps other processes from undoing them, until it is disposed
   * of.
   */
  constructor(
    host: Host,
    journal: StepJournal,
    timeout?: number,
    hold?: Disposable,
  ) {
    this.#host = host;
    this.#timeout = timeout;
    this.#hold = hold;
    this.#journal = journal;
    this.steps = journal.entries.map(({ step }) => step);
  }

  /**
   * Undoes what this apply changed. Once everything is undone, calling this
   * again does nothing.
   *
   * @param options The same as for {@linkcode restore}; the time limit is by
   * default that of the apply.
   * @returns What was undone and what was not.
   * @throws {VfioError} The same as {@linkcode restore}.
   */
  async restore(options: RestoreOptions = {}): Promise<Restored> {
    if (this.steps.length === 0) return { undone: [], left: [], damaged: [] };
    this.#hold?.[Symbol.dispose]();
    const { id, head: { uuid } } = this.#journal;
    return await undoJournals(
      this.#host,
      () => allJournals(this.#host.kernel).toReversed(),
      (journal) =>
        journal.id === id &&
        (!journal.isWritten || journal.head.uuid === uuid),
      {
        ...this.#timeout === undefined ? {} : { timeout: this.#timeout },
        ...options,
      },
    );
  }

  /**
   * The same as {@linkcode Applied.restore}.
   *
   * @throws {VfioError} `RESTORE_INCOMPLETE` when something could not be
   * undone, or `JOURNAL_DAMAGED`.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const { left, damaged } = await this.restore();
    for (const { error } of damaged) throw error;
    if (left.length > 0) throw incomplete(left);
  }
}

/**
 * Makes steps. Each is written to the journal first. Steps whose result is
 * there already are skipped. When one fails, or the signal aborts, all are
 * undone.
 *
 * @param host The host.
 * @param steps The steps, in their order. Steps of different functions are made
 * in parallel.
 * @param options A signal, a callback, and a time limit in milliseconds for the
 * wait for another process and for each step.
 * @returns The changes, which can be undone.
 * @throws {VfioError} The error of a step, `LOCKED` when another process is
 * changing the host, or `RESTORE_INCOMPLETE` when a step failed and not all
 * could be undone.
 * @throws The signal's reason, once everything is undone.
 */
export async function applySteps(
  host: Host,
  steps: readonly Step[],
  options: ApplyStepsOptions = {},
): Promise<Applied> {
  return await underLock(
    host,
    options,
    () => makeSteps(host, steps, options),
  );
}

/** Runs `work` while no other process changes the host. */
export async function underLock<T>(
  host: Host,
  options: WaitOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await locked(host.kernel, new Deadline(options), work);
  } catch (error) {
    throw toVfioError(error, "change the host");
  }
}

/**
 * Does the same as {@linkcode applySteps}. The caller holds the lock.
 *
 * @param journal The journal that they are written to. Default: a new one.
 */
export async function makeSteps(
  host: Host,
  steps: readonly Step[],
  options: ApplyStepsOptions,
  journal: StepJournal = nextJournal(host.kernel, options.name),
): Promise<Applied> {
  const pace = new Pace();
  let hold: Disposable | undefined;
  try {
    for (const lanes of stages(host, steps, (step) => step)) {
      const stop = new AbortController();
      await forEachAtOnce(lanes, async (lane) => {
        for (const step of lane) {
          try {
            await pace.step();
            if (stop.signal.aborted) return;
            await makeStep(host, step, journal, options, stop.signal);
          } catch (error) {
            stop.abort();
            throw error;
          }
        }
      });
    }
    if (options.held && journal.entries.length > 0) {
      hold = await journal.hold(new Deadline(options));
    }
  } catch (error) {
    throw await undoAndExplain(host, journal, error, options);
  }
  logSteps(host.kernel, "applied", journal, stepsOf(journal));
  return new Applied(host, journal, options.timeout, hold);
}

function stepsOf({ entries }: StepJournal): Step[] {
  return entries.map(({ step }) => step);
}

async function makeStep(
  host: Host,
  step: Step,
  journal: StepJournal,
  options: ApplyStepsOptions,
  stop: AbortSignal,
): Promise<void> {
  const { onStep } = options;
  try {
    const kind = kindOf(step);
    const { timeout = Math.max(DEFAULT_TIMEOUT, kind.patience ?? 0) } = options;
    const work = { host, deadline: new Deadline({ ...options, timeout }) };
    if (await kind.holds(work, step)) return;
    const before = await kind.capture(work, step);
    if (stop.aborted) return;
    const number = journal.begin(step, before);
    onStep?.({ step, phase: "begun" });
    const result = await kind.make(work, step, before);
    journal.made(number, result);
    onStep?.({ step, phase: "made" });
  } catch (error) {
    throw toVfioError(error, "apply", step.device);
  }
}

/** Undoes what was made, and returns the error to throw. */
async function undoAndExplain(
  host: Host,
  journal: StepJournal,
  error: unknown,
  { onStep, timeout = DEFAULT_TIMEOUT }: ApplyStepsOptions,
): Promise<unknown> {
  // Undoing has its own time limits and no signal: the apply may have ended by
  // its time limit or its signal.
  logSteps(host.kernel, "failed", journal, stepsOf(journal));
  const listener = new Listener(onStep);
  const left = await undoSteps(host, journal, journal.toUndo, {
    timeout: Math.max(timeout, DEFAULT_TIMEOUT),
    onUndone: (step) => listener.call({ step, phase: "undone" }),
  });
  const { errors } = listener;
  if (left.length > 0) {
    const first = error instanceof Error ? error.message : String(error);
    return new VfioError("RESTORE_INCOMPLETE", {
      device: error instanceof VfioError ? error.device : undefined,
      problem: `the host could not be changed, and not everything could be ` +
        `undone: ${first}\n${leftText(left)}`,
      hint: "restore again: the journal has the rest",
      cause: new AggregateError([
        error,
        ...left.map(({ error }) => error),
        ...errors,
      ]),
    });
  }
  try {
    journal.remove();
  } catch {
    // The next restore removes it, and has nothing left to undo.
  }
  if (!(error instanceof VfioError)) return error;
  const { code, device, problem, hint } = error;
  const outcome = journal.entries.some(({ made }) => made)
    ? "all earlier changes are undone"
    : "nothing is changed";
  return new VfioError(code, {
    device,
    problem: `${problem}; ${outcome}` +
      (errors.length === 0 ? "" : `, and onStep threw: ${errors[0]}`),
    hint,
    cause: errors.length === 0 ? error : new AggregateError([error, ...errors]),
  });
}
