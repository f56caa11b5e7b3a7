/**
 * Keeping a host at a state.
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { watch, type WatchEvent } from "../../../lib/provision/watch/watch.ts";
import { stepSubject, stepText } from "../../../lib/provision/plan/text.ts";
import { type Arguments, EXIT, fromUser } from "../command.ts";
import { errorJson, stepJson } from "../output/state_json.ts";
import { warnLines } from "../terminal/lines.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { stepLine, timeoutOf } from "./applying.ts";

/**
 * Keeps a host at a state until it is interrupted, and says what happens: in a
 * line each, or a line of JSON.
 */
export async function watchState(
  args: Arguments,
  host: Host,
  terminal: Terminal,
  state: DesiredState,
  name: string,
): Promise<number> {
  await fromUser(() =>
    watch(host, state, {
      name,
      insist: args.values("insist"),
      signal: terminal.signal,
      ...timeoutOf(args),
      onStep: (event) => terminal.progress(stepLine(event)),
      onEvent(event) {
        terminal.progress(undefined);
        const at = new Date().toISOString();
        if (args.has("json")) {
          terminal.write(`${JSON.stringify({ at, ...eventJson(event) })}\n`);
        } else writeEvent(terminal, at, event);
      },
    })
  );
  return EXIT.DONE;
}

function eventJson(event: WatchEvent) {
  switch (event.event) {
    case "drifted":
    case "mended":
      return { event: event.event, steps: event.steps.map(stepJson) };
    case "failed":
      return { event: event.event, error: errorJson(event.error) };
    case "settled":
      return event;
  }
}

function writeEvent(terminal: Terminal, at: string, event: WatchEvent): void {
  switch (event.event) {
    case "drifted":
    case "mended":
      for (const step of event.steps) {
        terminal.write(
          `${at} ${event.event} ${stepSubject(step)}: ${stepText(step)}` +
            (event.event === "drifted" ? ` (${step.why})` : "") + "\n",
        );
      }
      break;
    case "failed":
      warnLines(terminal, `${at} failed `, event.error.message);
      break;
    case "settled":
      terminal.write(`${at} settled\n`);
  }
}
