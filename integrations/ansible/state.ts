/**
 * `passthru.vfio.state`: keeps a host at a desired state.
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import { apply, rehearse } from "../../lib/provision/apply.ts";
import { stepSubject, stepText } from "../../lib/provision/plan/text.ts";
import { restore } from "../../lib/provision/restore.ts";
import { parseState } from "../../lib/provision/state/parse.ts";
import type { DesiredState } from "../../lib/provision/state/state.ts";
import { status } from "../../lib/provision/status.ts";
import type { Step } from "../../lib/provision/steps/step.ts";
import { fromUser, UsageError } from "../../scripts/passthru/command.ts";
import {
  leftJson,
  stepJson,
} from "../../scripts/passthru/output/state_json.ts";
import { NEEDED_BY_PLAN } from "../../scripts/passthru/run/applying.ts";
import { readState } from "../../scripts/passthru/run/state_file.ts";
import { assertTold } from "../../scripts/passthru/run/untold.ts";
import type { Terminal } from "../../scripts/passthru/terminal/terminal.ts";
import { onHost } from "./host.ts";
import { type Module, type Result, runModule } from "./module.ts";
import type { Parameters } from "./parameters.ts";

/** The module. */
export const STATE: Module = {
  parameters: [
    "desired",
    "insist",
    "name",
    "path",
    "simulate",
    "state",
    "timeout",
  ],
  async run(parameters, terminal) {
    const isPresent =
      parameters.choice("state", ["present", "absent"]) === "present";
    const desired = isPresent
      ? await desiredState(parameters, terminal)
      : undefined;
    return await onHost(
      parameters,
      terminal,
      (host) =>
        desired === undefined
          ? undo(host, parameters, terminal)
          : bring(host, desired, parameters, terminal),
    );
  },
};

async function desiredState(
  parameters: Parameters,
  terminal: Terminal,
): Promise<DesiredState> {
  const desired = parameters.json("desired");
  const path = parameters.path("path");
  if ((desired === undefined) === (path === undefined)) {
    throw new UsageError("one of desired and path has to be given");
  }
  return path === undefined
    ? fromUser(() => parseState(desired))
    : await readState(terminal, path);
}

function nameOf(parameters: Parameters): string {
  return parameters.text("name") ?? "passthru.vfio.state";
}

/** Brings a host to a state, or says what that takes. */
async function bring(
  host: Host,
  desired: DesiredState,
  parameters: Parameters,
  { signal }: Terminal,
): Promise<Result> {
  assertTold(host, NEEDED_BY_PLAN);
  const timeout = parameters.milliseconds("timeout");
  const options = {
    name: nameOf(parameters),
    insist: parameters.texts("insist"),
    signal,
    ...timeout !== undefined && { timeout },
  };
  const { steps } = await fromUser(() =>
    parameters.isCheck
      ? rehearse(host, desired, options)
      : apply(host, desired, options)
  );
  return resultOf(parameters, steps, { before: whyText, after: doneText });
}

/** Undoes what was applied under a name, or says what that is. */
async function undo(
  host: Host,
  parameters: Parameters,
  { signal }: Terminal,
): Promise<Result> {
  const timeout = parameters.milliseconds("timeout");
  const name = nameOf(parameters);
  const options = { name, signal, ...timeout !== undefined && { timeout } };
  const diff = { before: doneText, after: () => "" };
  if (parameters.isCheck) {
    const applied = (await status(host, options))
      .filter((each) => each.name === name);
    const steps = applied.flatMap(({ steps }) => steps)
      .map(({ step }) => step);
    return resultOf(parameters, steps.reverse(), diff);
  }
  const { undone, left, damaged } = await restore(host, options);
  const result = resultOf(parameters, undone, diff);
  const problems = [...left, ...damaged].map(({ error }) =>
    (error as Error).message
  );
  if (problems.length === 0) return result;
  return {
    ...result,
    failed: true,
    msg: `not all is undone: ${problems.join("; ")}`,
    left: left.map(leftJson),
    damaged: damaged.map(({ id }) => id),
  };
}

/** How the sides of a difference are written. */
interface Sides {
  readonly before: (step: Step) => string;
  readonly after: (step: Step) => string;
}

function resultOf(
  parameters: Parameters,
  steps: readonly Step[],
  { before, after }: Sides,
): Result {
  const result = { changed: steps.length > 0, steps: steps.map(stepJson) };
  if (!parameters.showsDiff || steps.length === 0) return result;
  return {
    ...result,
    diff: {
      before: steps.map(before).join(""),
      after: steps.map(after).join(""),
    },
  };
}

/** What a step finds. */
function whyText(step: Step): string {
  return `${stepSubject(step)}: ${step.why}\n`;
}

/** What a step leaves. */
function doneText(step: Step): string {
  return `${stepSubject(step)}: ${stepText(step)}\n`;
}

if (import.meta.main) await runModule(STATE);
