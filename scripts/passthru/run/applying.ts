/**
 * Planning, applying and restoring, which several commands share.
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { apply, rehearse } from "../../../lib/provision/apply.ts";
import type { StepEvent } from "../../../lib/provision/make.ts";
import {
  planText,
  stepSubject,
  stepText,
} from "../../../lib/provision/plan/text.ts";
import {
  type DamagedJournal,
  restore,
} from "../../../lib/provision/restore.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import type { Step } from "../../../lib/provision/steps/step.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { errorJson, leftJson, stepJson } from "../output/state_json.ts";
import { warnLines } from "../terminal/lines.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";
import { assertTold, supposed } from "./untold.ts";

/** The time limit that was asked for, in milliseconds. */
export function timeoutOf(args: Arguments): { timeout?: number } {
  const text = args.value("timeout");
  if (text === undefined) return {};
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400)) {
    throw new UsageError(
      `--timeout is ${text}: expected seconds, from 1 to 86400`,
    );
  }
  return { timeout: seconds * 1000 };
}

/** What a plan depends on. */
export const NEEDED_BY_PLAN = ["groups", "drivers"] as const;

/** Prints the plan for a state, or fails as applying it would. */
export async function showPlan(
  args: Arguments,
  host: Host,
  terminal: Terminal,
  state: DesiredState,
): Promise<number> {
  assertTold(host, NEEDED_BY_PLAN);
  const { steps } = await fromUser(() =>
    rehearse(host, state, {
      insist: args.values("insist"),
      signal: terminal.signal,
      ...timeoutOf(args),
    })
  );
  writeSteps(args, terminal, steps, "");
  const unknown = supposed(host);
  if (unknown !== undefined) warnLines(terminal, "unknown: ", unknown);
  return EXIT.DONE;
}

/**
 * Applies a state, and prints the steps.
 *
 * @param keep Called when it is applied. Where it fails, that is undone.
 */
export async function applyState(
  args: Arguments,
  host: Host,
  terminal: Terminal,
  state: DesiredState,
  name: string,
  keep: () => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  assertTold(host, NEEDED_BY_PLAN);
  const applied = await fromUser(() =>
    apply(host, state, {
      name,
      insist: args.values("insist"),
      signal: terminal.signal,
      ...timeoutOf(args),
      onStep: (event) => terminal.progress(stepLine(event)),
    })
  );
  terminal.progress(undefined);
  try {
    await keep();
  } catch (error) {
    await applied[Symbol.asyncDispose]();
    throw error;
  }
  writeSteps(args, terminal, applied.steps, "Applied: ");
  return EXIT.DONE;
}

/** Describes what happens to a step, in a line. */
export function stepLine({ step, phase }: StepEvent): string {
  return (phase === "undone" ? "undone: " : "") + lineOf(step);
}

function lineOf(step: Step): string {
  return `${stepSubject(step)}: ${stepText(step)}`;
}

function writeSteps(
  args: Arguments,
  terminal: Terminal,
  steps: readonly Step[],
  label: string,
): void {
  if (args.has("json")) {
    writeJson(terminal, { version: 1, steps: steps.map(stepJson) });
  } else {
    const { width } = terminal;
    terminal.write(`${planText(steps, { width, label })}\n`);
  }
}

/** Undoes what was applied to some devices, or to all, and prints the steps. */
export async function restoreDevices(
  args: Arguments,
  host: Host,
  terminal: Terminal,
  devices: readonly string[],
): Promise<number> {
  const name = args.value("at-boot") ?? args.value("name");
  const { undone, left, damaged } = await restore(host, {
    signal: terminal.signal,
    ...timeoutOf(args),
    ...devices.length > 0 && { devices },
    ...name !== undefined && { name },
    keepBootSettings: args.has("keep-boot"),
    onUndone: (step) => terminal.progress(`undone: ${lineOf(step)}`),
  });
  terminal.progress(undefined);
  if (args.has("json")) {
    writeJson(terminal, {
      undone: undone.map(stepJson),
      left: left.map(leftJson),
      damaged: damaged.map(({ id, error }) => ({
        id,
        error: errorJson(error),
      })),
    });
  } else {
    terminal.write(
      undone.length + left.length + damaged.length === 0
        ? `Nothing to undo${
          name === undefined ? "" : ` under the name ${name}`
        }.\n`
        : undone.map((step) => `undone: ${lineOf(step)}\n`).join(""),
    );
    for (const { step, error } of left) {
      const { device, message, hint } = errorJson(error);
      const subject = device === null ? "" : `${device}: `;
      terminal.warn(`not undone: ${lineOf(step)}\n`);
      warnLines(terminal, "  ", `${subject}${message}`);
      if (hint !== null) warnLines(terminal, "  hint: ", hint);
    }
    warnOfDamage(terminal, damaged);
  }
  return left.length + damaged.length === 0 ? EXIT.DONE : EXIT.FAILED;
}

/** Names the journals that cannot be read. */
export function warnOfDamage(
  terminal: Terminal,
  damaged: readonly DamagedJournal[],
): void {
  for (const { error } of damaged) {
    const { message, hint } = errorJson(error);
    warnLines(terminal, "not undone: ", message);
    if (hint !== null) warnLines(terminal, "  hint: ", hint);
  }
}
