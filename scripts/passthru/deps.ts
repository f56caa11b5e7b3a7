/**
 * What the command takes from others, by versioned specifiers: a module that is
 * run by URL does not get its own import map.
 *
 * @module
 */

/**
 * A variable, not a literal: what a literal names Deno looks up before the
 * command starts, and asks the registry for it each time where that is out of
 * reach.
 */
const YAML: string = "npm:js-yaml@^4.1.0";

/**
 * Loads what reads YAML, from the npm registry the first time: it is needed only
 * where somebody writes YAML. (`npm:yaml` asks for the environment, which would
 * cost the command a permission.)
 *
 * @returns Reads a text.
 * @throws {TypeError} When neither the registry nor a copy of it is reached.
 */
export async function loadYaml(): Promise<(text: string) => unknown> {
  const { load } = await import(YAML);
  return load;
}
