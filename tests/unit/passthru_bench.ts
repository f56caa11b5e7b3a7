import { simulate } from "../../lib/sim/mod.ts";
import { Host } from "../../lib/host/host.ts";
import type { Topology } from "../../lib/sim/machine/topology.ts";
import { main } from "../../scripts/passthru/main.ts";
import {
  readableFile,
  writableFile,
} from "../../scripts/passthru/run/byte_streams.ts";
import type { Terminal } from "../../scripts/passthru/terminal/terminal.ts";

/** The result of a command. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The environment of a command. */
export interface Surroundings {
  /** Files that it can read, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Columns of the terminal. Default: it is a pipe. */
  readonly width?: number;
  /** Whether the terminal shows colours. */
  readonly colour?: boolean;
  /** The signal that Ctrl-C aborts. */
  readonly signal?: AbortSignal;
  /** Called with what is written to a file. */
  readonly saved?: (path: string, text: string) => void;
  /** Called with the whole output so far after each write. */
  readonly written?: (out: string) => void;
}

/** A terminal that keeps nothing of what is written to it. */
export function terminalOf(surroundings: Surroundings): Terminal {
  const { files = {}, width, signal, colour = false } = surroundings;
  const none = () => Promise.reject(new Error("there are no streams"));
  return {
    width: width ?? Infinity,
    errorWidth: width ?? Infinity,
    isTerminal: width !== undefined,
    colour,
    signal: signal ?? new AbortController().signal,
    write: () => {},
    warn: () => {},
    progress: () => {},
    command: () => Promise.resolve(["/usr/local/bin/passthru"]),
    read: (path) => Promise.resolve(files[path]!),
    readable: none,
    writable: none,
    save: (path, text) => Promise.resolve(surroundings.saved?.(path, text)),
  };
}

/** Runs the command on a host. */
export async function call(
  host: Host | Topology,
  argv: readonly string[],
  surroundings: Surroundings = {},
): Promise<Outcome> {
  const target = host instanceof Host ? host : simulate(host);
  let out = "";
  let err = "";
  const terminal: Terminal = {
    ...terminalOf(surroundings),
    write(text) {
      out += text;
      surroundings.written?.(out);
    },
    warn: (text) => void (err += text),
    // deno-lint-ignore require-await
    readable: async (path) => readableFile(target.kernel, path),
    // deno-lint-ignore require-await
    writable: async (path) => writableFile(target.kernel, path),
  };
  const code = await main(argv, terminal, {
    host: () => Promise.resolve(target),
    simulated: (snapshot) => Promise.resolve(simulate(snapshot as Topology)),
  });
  return { code, out, err };
}

/** Runs a command with `--json`, and parses its output. */
export async function json(
  host: Host | Topology,
  argv: readonly string[],
  surroundings?: Surroundings,
  // deno-lint-ignore no-explicit-any
): Promise<any> {
  const { out } = await call(host, [...argv, "--json"], surroundings);
  return JSON.parse(out);
}
