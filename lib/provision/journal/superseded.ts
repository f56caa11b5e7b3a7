/**
 * Steps that a later apply has changed again.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Step } from "../steps/step.ts";
import type { StepEntry, StepJournal } from "./journals.ts";
import type { LeftStep } from "./undo.ts";

/**
 * What the later applies have changed and not undone. An earlier apply must not
 * undo its own change of that: it would override the later one, and the later
 * one would bring the earlier change back.
 */
export class LaterChanges {
  readonly #journals = new Map<string, StepJournal>();

  /**
   * Remembers what an apply has changed and not undone.
   *
   * @param journal Its journal.
   */
  add(journal: StepJournal): void {
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
    entries: readonly StepEntry[],
  ): { free: StepEntry[]; left: LeftStep[] } {
    const free: StepEntry[] = [];
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
  if ("path" in step) return `path ${step.path}`;
  if (step.kind === "module") return `module ${step.name}`;
  const { kind, device } = step;
  const { bus = "pci" } = kind === "driver" ? step : {};
  return `${kind} ${bus} ${device}`;
}

function supersededError(step: Step, { id, head }: StepJournal): VfioError {
  const { name } = head;
  const what = step.kind === "driver"
    ? "its driver"
    : "path" in step
    ? step.path
    : step.kind === "module"
    ? `the module ${step.name}`
    : step.kind;
  const by = id.startsWith("take-")
    ? `${head.process} (process ${head.pid}), which took it later`
    : `the later apply ${name === undefined ? id : JSON.stringify(name)}`;
  return new VfioError(step.kind === "driver" ? "WRONG_DRIVER" : "CHANGED", {
    device: step.device,
    problem: `${what} was changed again by ${by}, and is left as it is`,
    hint: "restore that first, or everything: passthru restore",
  });
}
