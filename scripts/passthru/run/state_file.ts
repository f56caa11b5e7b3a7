/**
 * Reads desired states from files.
 *
 * @module
 */

import { printable } from "../../../lib/printable.ts";
import { parseState } from "../../../lib/provision/state/parse.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { fromUser, UsageError } from "../command.ts";
import { loadYaml } from "../deps.ts";
import { readInput } from "./input.ts";
import { parseJson } from "./json.ts";
import type { Terminal } from "../terminal/terminal.ts";

/**
 * How many values may be reached by YAML's aliases. A few lines can stand for
 * more values than memory holds.
 */
const MAX_ALIASED = 10_000;

/**
 * Reads a desired state.
 *
 * @param terminal Reads the file.
 * @param path A JSON or YAML file; `-` is standard input.
 */
export async function readState(
  terminal: Terminal,
  path: string,
): Promise<DesiredState> {
  const text = await readInput(terminal, path);
  const name = path === "-" ? "standard input" : printable(path);
  const parse = isYaml(path, text) ? await yamlParser(name) : parseJson;
  let value: unknown;
  try {
    value = parse(text);
    limitAliases(value);
  } catch (error) {
    throw new UsageError(`${name}: ${parseProblem(error)}`);
  }
  try {
    return fromUser(() => parseState(value));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${name}: ${error.message}`, error.hint);
  }
}

/** What a parser of JSON or YAML says, in a line. */
function parseProblem(error: unknown): string {
  // Both parsers, and the JSON that they quote, can be deep.
  if (error instanceof RangeError) return "it is nested too deeply";
  const { reason, mark, message } = error as YamlError;
  if (reason === undefined) return printable(message);
  const place = mark === undefined
    ? ""
    : ` in line ${mark.line + 1}, column ${mark.column + 1}`;
  return printable(reason) + place;
}

/** js-yaml's `YAMLException`. */
interface YamlError extends Error {
  readonly reason?: string;
  readonly mark?: { readonly line: number; readonly column: number };
}

/**
 * Checks that no value contains itself, and that aliases do not make a value
 * much larger than its text.
 *
 * @throws {TypeError} When one does.
 */
function limitAliases(root: unknown): void {
  const seen = new Set<object>();
  const above = new Set<object>();
  let aliased = 0;
  const visit = (value: unknown, isAliased: boolean) => {
    if (typeof value !== "object" || value === null) return;
    if (above.has(value)) throw new TypeError("a value contains itself");
    const again = isAliased || seen.has(value);
    seen.add(value);
    above.add(value);
    for (const each of Object.values(value)) {
      if (again && ++aliased > MAX_ALIASED) {
        throw new TypeError("its aliases stand for too many values");
      }
      visit(each, again);
    }
    above.delete(value);
  };
  visit(root, false);
}

/**
 * Whether a text is YAML, by the file's name, or else by the first character.
 */
function isYaml(path: string, text: string): boolean {
  if (/\.ya?ml$/i.test(path)) return true;
  return !/\.json$/i.test(path) && !/^\s*[{[]/.test(text);
}

async function yamlParser(name: string): Promise<(text: string) => unknown> {
  try {
    return await loadYaml();
  } catch {
    throw new UsageError(
      `${name} is YAML, and the YAML parser cannot be loaded from npm`,
      "write JSON, or cache the parser while npm is in reach: " +
        "deno cache npm:js-yaml@^4.1.0",
    );
  }
}
