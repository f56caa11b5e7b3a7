/**
 * The parts of a command.
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import type { Terminal } from "./terminal/terminal.ts";

/** The exit codes of commands. */
export const EXIT = {
  /** Done, or nothing to do. */
  DONE: 0,
  /** It failed, and what was done is undone. */
  FAILED: 1,
  /** It was called wrongly. */
  USAGE: 2,
  /** It was refused, because the host uses the device. */
  REFUSED: 3,
  /** The host is not fit for it. */
  UNFIT: 4,
  /** It did what it should, but could not write its output. */
  UNWRITTEN: 5,
  /** It was ended by Ctrl-C, and what was done is undone. */
  INTERRUPTED: 130,
} as const;

/**
 * How a shell completes an operand or an option's value. A list has all allowed
 * values.
 */
export type Kind = "address" | "driver" | "file" | "text" | readonly string[];

/** An operand of a command. */
export interface Operand {
  /** Its name: `ADDRESS`. */
  readonly name: string;
  /** How it is completed. */
  readonly kind: Kind;
  /** Whether it may be missing. */
  readonly optional?: boolean;
  /** Whether there may be several. */
  readonly many?: boolean;
}

/** An option of a command. */
export interface Option {
  /** The name of its value. An option without one is a flag. */
  readonly value?: string;
  /** How its value is completed. */
  readonly kind?: Kind;
  /** Whether it may be given several times. */
  readonly many?: boolean;
  /** What it does. */
  readonly about: string;
}

/** The arguments that a command was called with. */
export class Arguments {
  readonly #options: Readonly<Record<string, unknown>>;
  /** Its operands. */
  readonly operands: readonly string[];
  /** What came after `--`. */
  readonly rest: readonly string[];

  /** Takes arguments that have been checked. */
  constructor(
    operands: readonly string[],
    options: Readonly<Record<string, unknown>>,
    rest: readonly string[],
  ) {
    this.operands = operands;
    this.#options = options;
    this.rest = rest;
  }

  /** Whether an option was given. */
  has(name: string): boolean {
    return this.#options[name] === true;
  }

  /** The value of an option, where it was given. */
  value(name: string): string | undefined {
    return this.#options[name] as string | undefined;
  }

  /** All values of an option that may be given several times. */
  values(name: string): readonly string[] {
    return (this.#options[name] ?? []) as string[];
  }
}

/** Runs a command, and returns the exit code. */
export type Run = (
  args: Arguments,
  host: Host,
  terminal: Terminal,
) => number | Promise<number>;

/** How a command is called. */
export interface Command {
  /** What it does, in a line. */
  readonly about: string;
  /** Further sentences for its help. */
  readonly details?: string;
  /** Its operands. */
  readonly operands?: readonly Operand[];
  /** The name of the arguments after `--`. Without it there may be none. */
  readonly rest?: string;
  /** Its own options, by name. */
  readonly options?: Readonly<Record<string, Option>>;
  /** Example calls, and what each does. */
  readonly examples: Readonly<Record<string, string>>;
}

/** A command was called wrongly. */
export class UsageError extends Error {
  /** Always `"UsageError"`. */
  override readonly name = "UsageError";
  /** What may have been meant, or what to do. */
  readonly hint: string | undefined;

  /** Makes the error. */
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/**
 * Returns the result of `read`. Turns a `TypeError` or `RangeError` of it into
 * a {@linkcode UsageError}, as the user has typed what is malformed.
 */
export function fromUser<T>(read: () => T): T {
  try {
    const value = read();
    return value instanceof Promise
      ? value.catch((error) => asUsageError(error)) as T
      : value;
  } catch (error) {
    return asUsageError(error);
  }
}

function asUsageError(error: unknown): never {
  if (error instanceof TypeError || error instanceof RangeError) {
    throw new UsageError(error.message);
  }
  throw error;
}
