/**
 * Tables that fit the terminal.
 *
 * @module
 */

import { printable } from "../../../lib/printable.ts";
import { type Style, styled, type Terminal } from "../terminal/terminal.ts";

/** A column of a table. */
export interface Column<T> {
  /** Its heading. */
  readonly title: string;
  /** Returns the text of a cell. */
  text(row: T): string;
  /** Returns the style of a cell. */
  style?(row: T): Style | undefined;
  /** Whether it may be shortened where the terminal is narrow. */
  readonly shortens?: boolean;
}

/** The width below which a column is not shortened. */
const LEAST = 8;
const GAP = 2;

/** Shortens a text to `width` columns. */
export function shortened(text: string, width: number): string {
  if (text.length <= width) return text;
  return `${text.slice(0, Math.max(width - 1, 0)).trimEnd()}…`;
}

/**
 * Writes rows below their titles.
 *
 * @param terminal Where they are written.
 * @param rows The rows.
 * @param columns The columns. Those that may be shortened are, to fit the
 * width.
 */
export function writeTable<T>(
  terminal: Terminal,
  rows: readonly T[],
  columns: readonly Column<T>[],
): void {
  const cells = rows.map((row) =>
    columns.map(({ text }) => printable(text(row)))
  );
  const widths = columns.map(({ title }, i) =>
    cells.reduce((most, row) => Math.max(most, row[i]!.length), title.length)
  );
  let excess = widths.reduce((sum, width) => sum + width + GAP, -GAP) -
    terminal.width;
  for (const [i, column] of [...columns.entries()].reverse()) {
    if (excess <= 0 || !column.shortens) continue;
    const width = Math.max(widths[i]! - excess, LEAST);
    excess -= Math.max(widths[i]! - width, 0);
    widths[i] = Math.min(widths[i]!, width);
  }
  const line = (
    texts: readonly string[],
    style: (i: number) => Style | undefined,
  ) =>
    texts.map((text, i) => {
      const short = shortened(text, widths[i]!);
      const space = i === texts.length - 1
        ? ""
        : " ".repeat(widths[i]! + GAP - short.length);
      return styled(terminal, style(i), short) + space;
    }).join("").trimEnd() + "\n";
  const lines = [line(columns.map(({ title }) => title), () => "bold")];
  for (const [at, row] of rows.entries()) {
    lines.push(line(cells[at]!, (i) => columns[i]!.style?.(row)));
  }
  terminal.write(lines.join(""));
}
