/**
 * Text for people: numbers of things, and lines that fit a terminal.
 *
 * @module
 */

/** A text in narrower columns is unreadable. */
const LEAST_ROOM = 30;

/** The sequences that put a text in a style, which take no columns. */
// deno-lint-ignore no-control-regex
const STYLES = /\x1b\[\d+m/g;

/**
 * Writes how many things there are: `"1 function"`, `"2 functions"`.
 *
 * @param count How many.
 * @param what One of them.
 */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/**
 * Breaks a text into lines of a width, between words, and indents all but the
 * first. Lines of the text stay lines, below the first as they are indented.
 *
 * @param first What the first line begins with.
 * @param text The text.
 * @param width Columns; `Infinity` where lines are not broken.
 */
export function breakLines(
  first: string,
  text: string,
  width: number,
): string[] {
  return text.split("\n").flatMap((line, i) => {
    const start = i === 0 ? first : /^ */.exec(line)![0];
    return breakLine(start, i === 0 ? line : line.trimStart(), width);
  });
}

function breakLine(first: string, text: string, width: number): string[] {
  const indent = columns(first);
  const room = Math.max(width - indent, LEAST_ROOM);
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && columns(longer) > room) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines.map((line, i) => (i === 0 ? first : " ".repeat(indent)) + line);
}

function columns(text: string): number {
  return text.replace(STYLES, "").length;
}
