/**
 * The parameters of a module of Ansible's.
 *
 * @module
 */

import { shortJson } from "../../lib/printable.ts";
import { UsageError } from "../../scripts/passthru/command.ts";
import { parseJson } from "../../scripts/passthru/run/json.ts";

/** What a task has given to a module. */
export class Parameters {
  readonly #values: Readonly<Record<string, unknown>>;

  /**
   * Takes the parameters of a task, and leaves out those that Ansible adds.
   *
   * @param values What Ansible has written to the module's file.
   * @param names The parameters that the module has.
   * @throws {UsageError} When there is another one.
   */
  constructor(
    values: Readonly<Record<string, unknown>>,
    names: readonly string[],
  ) {
    this.#values = values;
    for (const name of Object.keys(values)) {
      if (names.includes(name) || name.startsWith("_ansible_")) continue;
      throw new UsageError(
        `there is no parameter ${shortJson(name)}`,
        `the parameters are ${names.join(", ")}`,
      );
    }
  }

  /** Whether the run only says what it would do: `--check`. */
  get isCheck(): boolean {
    return this.#values._ansible_check_mode === true;
  }

  /** Whether the run shows what changes: `--diff`. */
  get showsDiff(): boolean {
    return this.#values._ansible_diff === true;
  }

  /** A text, where it is given. */
  text(name: string): string | undefined {
    const value = this.#value(name);
    if (value === undefined || typeof value === "string") return value;
    throw expected(name, "a text", value);
  }

  /** An absolute path, where it is given. */
  path(name: string): string | undefined {
    const path = this.text(name);
    if (path === undefined || path.startsWith("/")) return path;
    throw expected(name, "an absolute path", path);
  }

  /** One of some words; the first of them where none is given. */
  choice<const T extends string>(name: string, words: readonly T[]): T {
    const value = this.#value(name) ?? words[0]!;
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw expected(name, words.join(" or "), value);
  }

  /** Seconds, in milliseconds, where they are given. */
  milliseconds(name: string): number | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    // A template gives a text.
    const seconds = typeof value === "string" ? Number(value) : value;
    if (typeof seconds === "number" && seconds > 0 && seconds <= 86_400) {
      return seconds * 1000;
    }
    throw expected(name, "seconds, from 1 to 86400", value);
  }

  /** A list of texts, empty where it is not given. */
  texts(name: string): readonly string[] {
    const value = this.#value(name);
    if (value === undefined) return [];
    if (typeof value === "string") return [value];
    if (
      Array.isArray(value) && value.every((each) => typeof each === "string")
    ) return value;
    throw expected(name, "a list of texts", value);
  }

  /** Any value, where it is given; the value of a text that is JSON. */
  json(name: string): unknown {
    const value = this.#value(name);
    if (typeof value !== "string") return value;
    try {
      return parseJson(value);
    } catch (error) {
      throw new UsageError(`${name}: ${(error as Error).message}`);
    }
  }

  #value(name: string): unknown {
    return this.#values[name] ?? undefined;
  }
}

function expected(name: string, what: string, value: unknown): UsageError {
  return new UsageError(`${name} is ${shortJson(value)}: expected ${what}`);
}
