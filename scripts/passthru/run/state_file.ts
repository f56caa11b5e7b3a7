/**
 * Desired states in files.
 *
 * @module
 */

import { parseState } from "../../../lib/provision/state/parse.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { fromUser, UsageError } from "../command.ts";
import { parseYaml } from "../deps.ts";
import type { Terminal } from "../terminal/terminal.ts";

/**
 * Reads a desired state.
 *
 * @param terminal What reads files.
 * @param path A JSON or YAML file; `-` is standard input.
 */
export async function readState(
  terminal: Terminal,
  path: string,
): Promise<DesiredState> {
  const text = await terminal.read(path);
  const name = path === "-" ? "standard input" : path;
  let value: unknown;
  try {
    value = isYaml(path, text) ? await parseYaml(text) : JSON.parse(text);
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

/** A file says by its name what it is, standard input by how it begins. */
function isYaml(path: string, text: string): boolean {
  if (/\.ya?ml$/i.test(path)) return true;
  return !/\.json$/i.test(path) && !/^\s*[{[]/.test(text);
}
