/**
 * Where a command reads and writes: a terminal, a pipe, or a test.
 *
 * @module
 */

import { printable, printableLines } from "../../../lib/printable.ts";

/** What a command reads from and writes to. */
export interface Terminal {
  /** Writes to standard output, as long as somebody reads it. */
  write(text: string): void;
  /** Writes to standard error. */
  warn(text: string): void;
  /** Shows a slow step on standard error; `undefined` ends it. */
  progress(text: string | undefined): void;
  /** Reads a file; `-` is standard input. */
  read(path: string): Promise<string>;
  /** Opens a file whose bytes are read; `-` is standard input. */
  readable(path: string): Promise<ReadableStream<Uint8Array>>;
  /** Makes a file that bytes are written to; `-` is standard output. */
  writable(path: string): Promise<WritableStream<Uint8Array>>;
  /** Writes a file, which a reader finds either as it was or complete. */
  save(path: string, text: string): Promise<void>;
  /** Returns the words that run this command, without its arguments. */
  command(): Promise<readonly string[]>;
  /** Columns of standard output; `Infinity` where it is not a terminal. */
  readonly width: number;
  /** Columns of standard error; `Infinity` where it is not a terminal. */
  readonly errorWidth: number;
  /** Whether standard output may be coloured. */
  readonly colour: boolean;
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Returns why standard output could not be written to its end. */
  readonly outputError?: () => string | undefined;
  /** Aborted by Ctrl-C, and by the end of the session. */
  readonly signal: AbortSignal;
}

const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const;

/** A way to write text on a terminal that has colours. */
export type Style = keyof typeof CODES;

/** Puts a text in a style, where the terminal shows styles. */
export function styled(
  { colour }: Pick<Terminal, "colour">,
  style: Style | undefined,
  text: string,
): string {
  if (!colour || style === undefined || text === "") return text;
  const [on, off] = CODES[style];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}

/** Writes a value as JSON. It escapes all control characters. */
export function writeJson(terminal: Terminal, value: unknown): void {
  terminal.write(`${printableLines(JSON.stringify(value, null, 2))}\n`);
}

/** The sequences of {@linkcode styled}, as `split` keeps them. */
const SEQUENCES = new RegExp(
  `(\x1b\\[(?:${Object.values(CODES).flat().join("|")})m)`,
);

/**
 * A terminal that is given no control characters but newlines, tabs and the
 * styles of {@linkcode styled}, whatever the names in a text are.
 */
export function guarded(terminal: Terminal): Terminal {
  const { colour } = terminal;
  const clean = (text: string) =>
    text.split("\t").map(printableLines).join("\t");
  const safe = (text: string) =>
    colour
      ? text.split(SEQUENCES).map((part, i) => i % 2 === 1 ? part : clean(part))
        .join("")
      : clean(text);
  return {
    ...terminal,
    write: (text) => terminal.write(safe(text)),
    warn: (text) => terminal.warn(safe(text)),
    progress: (text) => terminal.progress(text && printable(text)),
  };
}
