/**
 * Devices that a process has taken and not given back yet.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { StepEntry, StepJournal } from "./journals.ts";
import type { LeftStep } from "./undo.ts";

/**
 * The steps that are left alone, since the process that made them still has
 * what they changed.
 *
 * @param journal The journal of that process.
 * @param entries Its steps that would be undone.
 */
export function heldSteps(
  { holder }: StepJournal,
  entries: readonly StepEntry[],
): LeftStep[] {
  return entries.map(({ step }) => ({
    step,
    error: new VfioError("DEVICE_BUSY", {
      device: step.device,
      problem: `${holder} has taken it, and still runs`,
      hint: "that process gives it back when it ends: end it, and restore " +
        "what is left then",
    }),
  }));
}
