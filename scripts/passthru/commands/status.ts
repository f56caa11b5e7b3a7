/**
 * `passthru status`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { stepSubject, stepText } from "../../../lib/provision/plan/text.ts";
import { persisted } from "../../../lib/provision/boot/persist.ts";
import {
  type AppliedStatus,
  status,
  type StepStatus,
} from "../../../lib/provision/status.ts";
import { damagedJournals } from "../../../lib/provision/restore.ts";
import { type Arguments, EXIT } from "../command.ts";
import { warnOfDamage } from "../run/applying.ts";
import { stepJson } from "../output/state_json.ts";
import {
  type Style,
  styled,
  type Terminal,
  writeJson,
} from "../terminal/terminal.ts";

/** Says what is applied. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const applied = await status(host, { signal: terminal.signal });
  const atBoot = persisted(host);
  if (args.has("json")) {
    writeJson(terminal, { applied: applied.map(appliedJson), atBoot });
    return EXIT.DONE;
  }
  if (applied.length === 0) terminal.write("Nothing is applied.\n");
  terminal.write(
    applied.map((each) => appliedText(terminal, each)).join("\n"),
  );
  for (const name of atBoot) terminal.write(`At boot: ${name}\n`);
  warnOfDamage(terminal, damagedJournals(host));
  return EXIT.DONE;
}

function appliedJson(
  { id, name, since, process, held, steps }: AppliedStatus,
) {
  return {
    id,
    name: name ?? null,
    since: since.toISOString(),
    process,
    held,
    steps: steps.map(({ step, made, holds, pending = false }) => ({
      step: stepJson(step),
      made,
      holds,
      pending,
    })),
  };
}

function appliedText(
  terminal: Terminal,
  { id, name, since, process, held, steps }: AppliedStatus,
): string {
  const isTaken = id.startsWith("take-");
  const title = name ?? (isTaken ? "taken" : "unnamed");
  const head = styled(terminal, "bold", title) +
    ` since ${since.toISOString()}, by ${process.name} (${process.pid})` +
    (held ? ", which still runs" : "");
  return [head, ...steps.map((step) => stepLine(terminal, step))]
    .map((line) => `${line}\n`).join("");
}

function stepLine(
  terminal: Terminal,
  { step, made, holds, pending = false }: StepStatus,
) {
  const [word, style]: [string, Style] = !made
    ? ["not finished", "yellow"]
    : holds && pending
    ? ["after the next boot", "yellow"]
    : holds
    ? ["holds", "green"]
    : ["changed since", "red"];
  return `  ${styled(terminal, style, word)}  ${stepSubject(step)}: ` +
    stepText(step);
}
