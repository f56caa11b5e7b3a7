/**
 * What a command is.
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import type { Terminal } from "./terminal/terminal.ts";

/** How a command ended. */
export const EXIT = {
  /** Done, or nothing to do. */
  DONE: 0,
  /** It failed, and what was done is undone. */
  FAILED: 1,
  /** It was called wrongly. */
  USAGE: 2,
  /** A guard refused it. */
  REFUSED: 3,
  /** The host is not fit for it. */
  UNFIT: 4,
  /** It was ended by Ctrl-C, and what was done is undone. */
  INTERRUPTED: 130,
} as const;

/** What is completed for an operand, or for an option's value. */
export type Kind = "address" | "driver" | "file" | "text" | readonly string[];

/** An operand of a command. */
export interface Operand {
  /** Its name: `ADDRESS`. */
  readonly name: string;
  /** What it is. */
  readonly kind: Kind;
  /** Whether it may be missing. */
  readonly optional?: boolean;
  /** Whether there may be several of it. */
  readonly many?: boolean;
}

/** An option of a command. */
export interface Option {
  /** The name of its value; without one it has none. */
  readonly value?: string;
  /** What its value is. */
  readonly kind?: Kind;
  /** Whether it may be given several times. */
  readonly many?: boolean;
  /** What it does. */
  readonly about: string;
}

/** A command as it was called. */
export class Arguments {
  readonly #options: Readonly<Record<string, unknown>>;
  /** Its operands. */
  readonly operands: readonly string[];
  /** What came after `--`. */
  readonly rest: readonly string[];

  /** Made by the frame, which has checked them. */
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

/** Runs a command, and gives the exit code. */
export type Run = (
  args: Arguments,
  host: Host,
  terminal: Terminal,
) => number | Promise<number>;

/** How a command is called. */
export interface Command {
  /** What it does, in a line. */
  readonly about: string;
  /** More of it, for its help. */
  readonly details?: string;
  /** Its operands. */
  readonly operands?: readonly Operand[];
  /** What comes after `--`, where something may. */
  readonly rest?: string;
  /** Its options by name, without those that all have. */
  readonly options?: Readonly<Record<string, Option>>;
  /** Calls of it, with what each does. */
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
 * What `read` gives; what it finds malformed (a `TypeError` or `RangeError`) is
 * the fault of who called the command.
 */
export function fromUser<T>(read: () => T): T {
  try {
    const value = read();
    return value instanceof Promise
      ? value.catch((error) => blame(error)) as T
      : value;
  } catch (error) {
    return blame(error);
  }
}

function blame(error: unknown): never {
  if (error instanceof TypeError || error instanceof RangeError) {
    throw new UsageError(error.message);
  }
  throw error;
}
