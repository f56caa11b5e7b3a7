/**
 * Prints what happens, a line for each thing.
 *
 * @module
 */

import { hexDigits } from "../../lib/hex.ts";

/** Prints lines that have a label, and the time that a step took. */
export class Report {
  readonly #print: (line: string) => void;

  /** @param print Prints a line. */
  constructor(print: (line: string) => void = console.log) {
    this.#print = print;
  }

  /** Begins a part. */
  heading(text: string): void {
    this.#print(`\n── ${text}`);
  }

  /**
   * Prints a line.
   *
   * @param label What it is about, one or two words.
   * @param text The rest of the line.
   * @param time How long it took, in milliseconds.
   */
  line(label: string, text: string, time?: number): void {
    const took = time === undefined ? "" : `${Math.round(time)} ms`;
    this.#print(`${label.padEnd(11)}${took.padStart(8)}  ${text}`);
  }

  /**
   * Does a step and prints its result.
   *
   * @param label What the step is.
   * @param work The step.
   * @param text Describes its result.
   * @returns The step's result.
   */
  async step<T>(
    label: string,
    work: () => Promise<T>,
    text: (result: T) => string,
  ): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.line(label, text(result), performance.now() - start);
    return result;
  }
}

/** The first bytes in hexadecimal, for people to compare. */
export function firstBytes(bytes: Uint8Array): string {
  const shown = [...bytes.subarray(0, 12)]
    .map((byte) => hexDigits(byte, 2));
  return `${shown.join(" ")} …`;
}
