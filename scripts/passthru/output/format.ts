/**
 * Numbers and fields as text.
 *
 * @module
 */

import { breakLines } from "../../../lib/text.ts";

export { sizeText } from "../../../lib/host/size_text.ts";
export { counted } from "../../../lib/text.ts";

/**
 * Writes names and values in two columns.
 *
 * @param rows The names and values. Lines of a value stay lines.
 * @param width Columns that lines are broken at.
 */
export function fields(
  rows: readonly (readonly [name: string, value: string | undefined])[],
  width: number,
): string {
  const present = rows.filter(([, value]) => value !== undefined);
  const column = Math.max(...present.map(([name]) => name.length)) + 2;
  return present.flatMap(([name, value]) =>
    value!.split("\n").flatMap((line, i) =>
      breakLines((i === 0 ? name : "").padEnd(column), line, width)
    )
  ).map((line) => `${line}\n`).join("");
}
