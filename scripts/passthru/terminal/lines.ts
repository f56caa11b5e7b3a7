/**
 * Messages in lines that fit the terminal.
 *
 * @module
 */

import { breakLines } from "../../../lib/text.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Writes a text to standard error, in lines that fit the terminal.
 *
 * @param terminal Where it is written.
 * @param first What the first line begins with.
 * @param text The text.
 */
export function warnLines(
  terminal: Terminal,
  first: string,
  text: string,
): void {
  const lines = breakLines(first, text, terminal.errorWidth);
  terminal.warn(lines.map((line) => `${line}\n`).join(""));
}
