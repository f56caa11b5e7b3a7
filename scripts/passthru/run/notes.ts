/**
 * Notes on standard error, beside what a command prints.
 *
 * @module
 */

import { breakLines } from "../../../lib/text.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Writes notes, each on lines of its own. */
export function warnOfNotes(
  terminal: Terminal,
  notes: readonly string[],
): void {
  for (const note of notes) {
    const lines = breakLines("note: ", note, terminal.errorWidth);
    terminal.warn(lines.map((line) => `${line}\n`).join(""));
  }
}
