/**
 * Text from outside, made safe to print: the names of processes, drivers and
 * files, and what a message quotes of a value.
 *
 * @module
 */

/**
 * The characters that are escaped. They are listed, as making the sets of
 * Unicode, `\p{Cc}` and `\p{Cs}`, takes a twentieth of the time that an empty
 * script takes.
 */
const RANGES = [
  "\\0-\\x1f\\x7f-\\x9f", // C0, DEL and C1
  "\\u2028\\u2029", // the line and paragraph separators
  "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069", // the direction of text
  "\\ud800-\\udfff", // halves of surrogate pairs
].join("");

const CONTROLS = new RegExp(`[${RANGES}]`, "gu");

/** The same without the newline. */
const LINE_CONTROLS = new RegExp(`(?!\\n)[${RANGES}]`, "gu");

const NAMED: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** Writes a character as JSON and TypeScript do: `\x1b` as `\u001b`. */
function escape(character: string): string {
  const code = character.charCodeAt(0).toString(16).padStart(4, "0");
  return NAMED[character] ?? `\\u${code}`;
}

/**
 * Escapes the control characters of a text from outside, newlines included. A
 * terminal would obey them, and any user can name a process.
 *
 * @param text The text.
 *
 * @example
 * ```ts ignore
 * printable("\x1b[8m\nok"); // "\\u001b[8m\\nok"
 * ```
 */
export function printable(text: string): string {
  return text.replace(CONTROLS, escape);
}

/**
 * Like {@linkcode printable}, for a text whose newlines are ours.
 *
 * @param text The text.
 */
export function printableLines(text: string): string {
  return text.replace(LINE_CONTROLS, escape);
}

/**
 * Writes a value as JSON for a message: control characters are escaped, and
 * what is longer than the limit is cut. It looks at no more of the value than
 * it writes, so the value can be cyclic, or large by references.
 *
 * @param value The value.
 * @param limit How many characters at most.
 */
export function shortJson(value: unknown, limit = 60): string {
  const cut = Math.max(limit - 3, 1);
  let text = "";
  const isFull = () => text.length > limit;
  const write = (value: unknown) => {
    if (typeof value === "string") {
      text += printable(JSON.stringify(value.slice(0, limit)));
    } else if (typeof value === "bigint") text += `${value}n`;
    else if (Array.isArray(value)) {
      writeAll("[", value.entries(), "]", ([, each]) => write(each));
    } else if (typeof value === "object" && value !== null) {
      if (value instanceof Date) text += `"${value.toJSON()}"`;
      else writeAll("{", keysOf(value), "}", (key) => writeMember(value, key));
    } else if (typeof value === "function") text += "a function";
    else text += String(value);
  };
  const writeMember = (object: object, key: string) => {
    write(key);
    text += ":";
    write((object as Record<string, unknown>)[key]);
  };
  const writeAll = <T>(
    open: string,
    items: Iterable<T>,
    close: string,
    item: (each: T) => void,
  ) => {
    text += open;
    let first = true;
    for (const each of items) {
      if (!first) text += ",";
      first = false;
      if (isFull()) return;
      item(each);
    }
    text += close;
  };
  if (value === undefined) return "nothing";
  write(value);
  return isFull() ? `${text.slice(0, cut)}...` : text;
}

/** The own keys of an object, without a list of all of them. */
function* keysOf(value: object): Iterable<string> {
  for (const key in value) if (Object.hasOwn(value, key)) yield key;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/**
 * Escapes a text for XML and HTML. Control characters, which XML does not allow,
 * not even escaped, become U+FFFD.
 *
 * @param text The text.
 */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!)
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "�");
}
