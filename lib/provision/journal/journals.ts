/**
 * The journals that `restore` undoes: those of applies and of taken devices.
 *
 * @module
 */

import {
  Journal,
  type JournalEntry,
  journalIds,
  nextJournalId,
} from "../../host/journal/journal.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { isStep } from "../steps/is_step.ts";
import type { Step } from "../steps/step.ts";

/** A journal of steps. */
export type StepJournal = Journal<Step>;

/** A step that was begun. */
export type StepEntry = JournalEntry<Step>;

/**
 * Reads a journal, if it exists.
 *
 * @param kernel The system.
 * @param id The name of its files, without an extension.
 */
export function stepJournal(kernel: Kernel, id: string): StepJournal {
  return new Journal(kernel, { id, isStep });
}

/**
 * Reads the journals of all applies and of all taken devices, the oldest first,
 * also those that are damaged.
 *
 * @param kernel The system.
 */
export function allJournals(kernel: Kernel): StepJournal[] {
  return journalIds(kernel).map((id) => stepJournal(kernel, id));
}

/**
 * Makes the journal of the next apply. Nothing is written yet.
 *
 * @param kernel The system.
 * @param name The name of the apply.
 */
export function nextJournal(
  kernel: Kernel,
  name: string | undefined,
): StepJournal {
  return new Journal(kernel, {
    id: nextJournalId(kernel, "apply"),
    isStep,
    name,
  });
}
