/**
 * `passthru import`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import {
  type ImportSource,
  importState,
} from "../../../lib/provision/import/import.ts";
import { type Arguments, EXIT } from "../command.ts";
import { warnOfNotes } from "../run/notes.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

/** Writes a state that does what another tool does here. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const source = args.operands[0] as ImportSource;
  const { state, notes } = await importState(host, source);
  if (args.has("json")) writeJson(terminal, { state, notes });
  else {
    writeJson(terminal, state);
    warnOfNotes(terminal, notes);
  }
  return EXIT.DONE;
}
