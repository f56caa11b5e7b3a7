/**
 * Runs scripts in other processes, with rights that a test chooses.
 *
 * @module
 */
import type * as library from "../../../mod.ts";
import { lines } from "../command.ts";
import type { Edu } from "./edu.ts";

/** What a script can use. */
export type Library = typeof library & {
  readonly Edu: typeof Edu;
  /** Sends a value to the test as JSON: see {@linkcode Script.next}. */
  send(value: unknown): void;
};

/** The rights of a script. Its only Deno permission is FFI. */
export interface ScriptOptions {
  /** The user and group; root by default. */
  readonly uid?: number;
  /** RLIMIT_MEMLOCK, in bytes. */
  readonly memlock?: number;
  /** Environment variables beyond those of the test. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a script ended. */
export interface Ending {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  /** What it wrote to standard error. */
  readonly stderr: string;
}

/** A script in a process of its own. It is killed when it is disposed of. */
export class Script implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<string>;
  readonly #stderr: Promise<string>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#lines = lines(child.stdout);
    this.#stderr = new Response(child.stderr).text();
  }

  /**
   * Starts a script.
   *
   * @param options The rights it has.
   * @param body The script. Only its text reaches the process.
   * @param args Its arguments besides the library, sent as JSON.
   */
  static async start<Args extends unknown[]>(
    options: ScriptOptions,
    body: (library: Library, ...args: Args) => unknown,
    ...args: Args
  ): Promise<Script> {
    const file = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.chmod(file, 0o644);
    await Deno.writeTextFile(
      file,
      `import * as passthru from "@passthru/vfio";
import { Edu } from "${import.meta.resolve("./edu.ts")}";
const send = (value) => console.log(JSON.stringify(value));
await (${body})({ ...passthru, Edu, send }, ...${JSON.stringify(args)});
`,
    );
    const { uid, memlock, env = {} } = options;
    const [program, ...rest] = [
      ...memlock === undefined ? [] : ["prlimit", `--memlock=${memlock}`],
      ...uid === undefined
        ? []
        : ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"],
      Deno.execPath(),
      ...["run", "--no-prompt", "--no-check", "--no-lock"],
      ...["--config", "deno.offline.json", "--allow-ffi", file],
    ];
    const child = new Deno.Command(program!, {
      args: rest,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return new Script(child);
  }

  /**
   * Returns the next value that it sends.
   *
   * @throws {Error} If it has ended.
   */
  async next(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (!done) return JSON.parse(value);
    const { code, signal, stderr } = await this.end();
    throw new Error(`The script ended with ${signal ?? code}: ${stderr}`);
  }

  /** Waits until it has ended. */
  async end(): Promise<Ending> {
    for await (const _ of this.#lines);
    const { code, signal } = await this.#child.status;
    return { code, signal, stderr: await this.#stderr };
  }

  /** Kills it with SIGKILL. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.end();
  }
}
