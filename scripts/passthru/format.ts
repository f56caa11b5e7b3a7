/**
 * Numbers in words.
 *
 * @module
 */

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A size: `"16 KiB"`, `"1.5 MiB"`, `"100 bytes"`. */
export function sizeText(bytes: number | bigint): string {
  let size = Number(bytes);
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${Number(size.toFixed(1))} ${UNITS[unit]}`;
}

/** `"1 function"`, `"2 functions"`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Lines of names and values below each other. */
export function fields(
  rows: readonly (readonly [name: string, value: string | undefined])[],
): string {
  const said = rows.filter(([, value]) => value !== undefined);
  const width = Math.max(...said.map(([name]) => name.length)) + 2;
  return said.map(([name, value]) =>
    `${name.padEnd(width)}${
      value!.replaceAll("\n", `\n${" ".repeat(width)}`)
    }\n`
  ).join("");
}
