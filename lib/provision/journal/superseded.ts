/**
 * Steps that a later apply has changed again.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Step } from "../steps/step.ts";
import type { Journal, JournalEntry } from "./journal.ts";
import type { LeftStep } from "./undo.ts";

/**
 * What the later applies have changed and not undone. An earlier apply must not
 * undo its own change of that: it would override the later one, and the later
 * one would bring the earlier change back.
 */
export class LaterChanges {
  readonly #journals = new Map<string, Journal>();

  /**
   * Remembers what an apply has changed and not undone.
   *
   * @param journal Its journal.
   */
  add(journal: Journal): void {
    for (const { step } of journal.toUndo) {
      this.#journals.set(targetOf(step), journal);
    }
  }

  /**
   * Divides the steps of an earlier apply.
   *
   * @param entries The steps.
   * @returns Those that can be undone, and those that stay, each with its error.
   */
  divide(
    entries: readonly JournalEntry[],
  ): { free: JournalEntry[]; left: LeftStep[] } {
    const free: JournalEntry[] = [];
    const left: LeftStep[] = [];
    for (const entry of entries) {
      const { step } = entry;
      const journal = this.#journals.get(targetOf(step));
      if (journal === undefined) free.push(entry);
      else left.push({ step, error: supersededError(step, journal) });
    }
    return { free, left };
  }
}

/** What a step changes: two steps with the same one undo each other. */
function targetOf(step: Step): string {
  return "path" in step ? `path ${step.path}` : `${step.kind} ${step.device}`;
}

function supersededError(step: Step, { id, head }: Journal): VfioError {
  const { name } = head;
  const what = step.kind === "driver"
    ? "its driver"
    : "path" in step
    ? step.path
    : step.kind;
  return new VfioError(step.kind === "driver" ? "WRONG_DRIVER" : "CHANGED", {
    device: step.device,
    problem: `${what} was changed again by the later apply ` +
      `${name === undefined ? id : JSON.stringify(name)}, and is left as it is`,
    hint: "restore that first, or everything: passthru restore",
  });
}
