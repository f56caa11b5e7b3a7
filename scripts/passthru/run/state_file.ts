/**
 * Reads desired states from files.
 *
 * @module
 */

import { parseState } from "../../../lib/provision/state/parse.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { fromUser, UsageError } from "../command.ts";
import { loadYaml } from "../deps.ts";
import type { Terminal } from "../terminal/terminal.ts";

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
  const text = await terminal.read(path);
  const name = path === "-" ? "standard input" : path;
  const parse = isYaml(path, text) ? await yamlParser(name) : JSON.parse;
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
  try {
    return fromUser(() => parseState(value));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${name}: ${error.message}`, error.hint);
  }
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
