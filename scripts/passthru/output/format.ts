/**
 * Numbers and fields as text.
 *
 * @module
 */

export { sizeText } from "../../../lib/host/size_text.ts";

/** `"1 function"`, `"2 functions"`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Writes names and values in two columns. */
export function fields(
  rows: readonly (readonly [name: string, value: string | undefined])[],
): string {
  const present = rows.filter(([, value]) => value !== undefined);
  const width = Math.max(...present.map(([name]) => name.length)) + 2;
  return present.map(([name, value]) =>
    `${name.padEnd(width)}${
      value!.replaceAll("\n", `\n${" ".repeat(width)}`)
    }\n`
  ).join("");
}
