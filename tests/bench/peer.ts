/**
 * The C program that the library is measured against: `peer/`.
 *
 * @module
 */
import { fromFileUrl, join } from "@std/path";
import { lines, run } from "../vm/command.ts";
import { kernelHeaders } from "../vm/prepare.ts";
import type { Contestant } from "./compare.ts";

const SOURCES = fromFileUrl(new URL("peer", import.meta.url));

/**
 * Compiles the program.
 *
 * @param dir The directory to put it in.
 * @returns Its path.
 */
export async function compilePeer(dir: string): Promise<string> {
  const program = join(dir, "peer");
  const sources = [
    ...["peer.c", "legacy.c", "iommufd.c", "events.c", "irqs.c", "rings.c"],
    "mappings.c",
  ];
  await run([
    ...["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"],
    `-I${await kernelHeaders()}`,
    ...["-o", program],
    ...sources.map((name) => join(SOURCES, name)),
  ]);
  return program;
}

/** The running program. It carries out a command, then waits. */
export class Peer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #commands: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: AsyncGenerator<string>;

  /**
   * Starts it.
   *
   * @param program The path from {@linkcode compilePeer}.
   */
  constructor(program: string) {
    this.#process = new Deno.Command(program, {
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#commands = this.#process.stdin.getWriter();
    this.#answers = lines(this.#process.stdout);
  }

  /**
   * Sends a command: `peer/peer.c` lists all.
   *
   * @param command The command's words.
   * @returns How many nanoseconds that took.
   */
  async ask(...command: readonly (string | number)[]): Promise<number> {
    const line = `${command.join(" ")}\n`;
    await this.#commands.write(new TextEncoder().encode(line));
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`The C program failed at "${line.trimEnd()}"`);
    return Number(value);
  }

  /**
   * Makes a contestant of a command.
   *
   * @param name The command's name.
   * @param words The words after the number of times.
   */
  contestant(name: string, ...words: readonly (string | number)[]): Contestant {
    return (times) => this.ask(name, times, ...words);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#commands.close();
    await this.#process.status;
  }
}
