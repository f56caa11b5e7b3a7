/**
 * Runs the system's own tools.
 *
 * @module
 */
import { CommandError } from "./errors.ts";

/** Aborted when this process is about to end. */
const ending = new AbortController();

/**
 * Ends all running commands, and prevents new ones: {@linkcode run} throws.
 * What waits for them can then clean up before this process ends.
 *
 * @param reason Why, for {@linkcode run} to throw.
 */
export function endCommands(reason: Error): void {
  ending.abort(reason);
}

/** Options of {@linkcode run}. */
export interface RunOptions {
  /** The working directory. */
  cwd?: string;
  /** Environment variables added to this process's own. */
  env?: Record<string, string>;
  /** Called with each line of output, standard output and error alike. */
  onLine?: (line: string) => void;
  /** Whether {@linkcode endCommands} waits for its end. */
  uninterrupted?: boolean;
}

/**
 * Runs a command to its end.
 *
 * @param command The program and its arguments.
 * @param options Where and how it runs.
 * @returns What it wrote to standard output.
 * @throws {CommandError} When it fails.
 * @throws The reason given to {@linkcode endCommands}, once that was called.
 */
export async function run(
  command: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { onLine, uninterrupted = false, ...where } = options;
  const [program, ...args] = command;
  ending.signal.throwIfAborted();
  const child = new Deno.Command(program!, {
    args,
    ...where,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    ...(uninterrupted ? {} : { signal: ending.signal }),
  }).spawn();
  const tail: string[] = [];
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const all: string[] = [];
    for await (const line of lines(stream)) {
      all.push(line);
      tail.push(line);
      if (tail.length > 30) tail.shift();
      onLine?.(line);
    }
    return all.join("\n");
  };
  const [stdout, , status] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    child.status,
  ]);
  if (!status.success && !uninterrupted) ending.signal.throwIfAborted();
  if (!status.success) throw new CommandError(command, status, tail);
  return stdout;
}

/**
 * The first words of a command that runs beside a guest. It runs at a low
 * priority, and ends with this process, together with everything that it has
 * started.
 */
export const IN_BACKGROUND: readonly string[] = [
  ...["setpriv", "--pdeathsig", "TERM"],
  // `timeout` passes a signal on to its process group. It stays in this
  // session, as priorities count within one session only.
  ...["timeout", "0"],
  ...["nice", "-n", "10"],
];

/**
 * Splits a stream of bytes into lines of text.
 *
 * @param stream The bytes, UTF-8.
 * @returns The lines, without their ends; the last one need not have an end.
 */
export async function* lines(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const line of parts) yield line.replace(/\r$/, "");
  }
  if (rest !== "") yield rest;
}

/**
 * Quotes a word for a POSIX shell.
 *
 * @param word The word.
 * @returns The word, so that a shell takes it literally.
 */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word)
    ? word
    : `'${word.replaceAll("'", `'\\''`)}'`;
}
