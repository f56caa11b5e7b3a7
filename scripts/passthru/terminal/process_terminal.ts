/**
 * The terminal, or the pipes, that this process has.
 *
 * @module
 */

import type { Terminal } from "./terminal.ts";

/** How long a step takes before it is shown, in milliseconds. */
const PATIENCE = 1000;

const encoder = new TextEncoder();

/**
 * Writes all of a text.
 *
 * @returns Why it could not: `undefined` when it could, `""` when nobody reads
 * it any more.
 */
function writeAll(
  to: { writeSync(bytes: Uint8Array): number },
  text: string,
): string | undefined {
  try {
    let bytes = encoder.encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(to.writeSync(bytes));
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return "";
    return (error as Error).message;
  }
}

/** The width of the terminal, in columns. */
function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/**
 * Standard input, output and error of this process.
 *
 * @param signal Aborted by Ctrl-C, and by the end of the session.
 */
export function processTerminal(signal: AbortSignal): Terminal {
  const isTerminal = Deno.stdout.isTerminal();
  const showsErrors = Deno.stderr.isTerminal();
  let failure: string | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let shown = false;

  function erase(): void {
    if (shown) writeAll(Deno.stderr, "\r\x1b[K");
    shown = false;
  }

  return {
    isTerminal,
    width: isTerminal ? columns() : Infinity,
    errorWidth: showsErrors ? columns() : Infinity,
    colour: isTerminal && !Deno.noColor,
    signal,
    // A command that changes the host goes on when its reader is gone, or the
    // disk is full.
    write(text) {
      erase();
      failure ??= writeAll(Deno.stdout, text);
    },
    outputError: () => failure || undefined,
    warn(text) {
      erase();
      writeAll(Deno.stderr, text);
    },
    progress(text) {
      if (!showsErrors) return;
      // Not called without a timer: the first call loads Deno's timers, which
      // takes a third of the time that Deno takes to start.
      if (timer !== undefined) clearTimeout(timer);
      timer = undefined;
      if (text === undefined) return erase();
      const show = () => {
        erase();
        shown = writeAll(Deno.stderr, `${text} …`) === undefined;
      };
      // The step after a slow one is shown at once.
      if (shown) show();
      else timer = setTimeout(show, PATIENCE);
    },
    async command() {
      const { localKernel } = await import("../../../lib/kernel/local.ts");
      const words = localKernel().readFile("/proc/self/cmdline").split("\0");
      // Leaves out the arguments of the command itself. Each word ends with a
      // NUL.
      const denoWords = words.slice(1, words.length - 1 - Deno.args.length);
      return [Deno.execPath(), ...denoWords.slice(0, -1), Deno.mainModule];
    },
    async read(path) {
      if (path === "-") return await new Response(Deno.stdin.readable).text();
      // libc reads it, without a further permission.
      const { localKernel } = await import("../../../lib/kernel/local.ts");
      return localKernel().readFile(path);
    },
    async readable(path) {
      const { localKernel } = await import("../../../lib/kernel/local.ts");
      const { readableFile } = await import("../run/byte_streams.ts");
      return readableFile(localKernel(), path);
    },
    async writable(path) {
      const { localKernel } = await import("../../../lib/kernel/local.ts");
      const { writableFile } = await import("../run/byte_streams.ts");
      return writableFile(localKernel(), path);
    },
    async save(path, text) {
      const { localKernel } = await import("../../../lib/kernel/local.ts");
      const { setOwnership, writeFileAtomically } = await import(
        "../../../lib/kernel/files.ts"
      );
      const kernel = localKernel();
      const absolute = path.startsWith("/") ? path : `./${path}`;
      const { uid, gid, mode } = kernel.stat(absolute);
      writeFileAtomically(kernel, absolute, text, mode & 0o777);
      setOwnership(kernel, absolute, { uid, gid, mode: mode & 0o777 });
    },
  };
}
