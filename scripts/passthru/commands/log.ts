/**
 * `passthru log`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import {
  type ChangeEntry,
  changes,
} from "../../../lib/provision/journal/change_log.ts";
import { type Arguments, EXIT } from "../command.ts";
import { styled, type Terminal, writeJson } from "../terminal/terminal.ts";

/** Says what was changed. */
export function run(args: Arguments, host: Host, terminal: Terminal): number {
  const entries = changes(host);
  if (args.has("json")) {
    writeJson(terminal, {
      entries: entries.map((entry) => ({
        ...entry,
        name: entry.name ?? null,
        user: entry.user ?? null,
      })),
    });
  } else if (entries.length === 0) terminal.write("Nothing was changed.\n");
  else terminal.write(entries.map((each) => text(terminal, each)).join("\n"));
  return EXIT.DONE;
}

function text(terminal: Terminal, entry: ChangeEntry): string {
  const { at, event, name, process, pid, user, changes } = entry;
  const title = `${event}${name === undefined ? "" : ` ${name}`}`;
  const head = styled(terminal, "bold", title) +
    ` at ${at}, by ${process} (${pid})` +
    (user === undefined ? "" : ` of user ${user}`);
  return [head, ...changes.map((change) => `  ${change}`)]
    .map((line) => `${line}\n`).join("");
}
