/**
 * The command's dependencies, by versioned specifiers: a module that is run by
 * URL does not use this project's import map.
 *
 * @module
 */

/**
 * A variable, not a literal: Deno looks up the module that a literal names
 * before the command starts, and asks the registry again each time while that
 * is out of reach.
 */
const YAML: string = "npm:js-yaml@^4.1.0";

/**
 * Loads a YAML parser, from the npm registry the first time. (`npm:yaml` reads
 * the environment, for which the command would need another permission.)
 *
 * @returns Parses a text.
 * @throws {TypeError} When the parser is not cached and the registry is out of
 * reach.
 */
export async function loadYaml(): Promise<(text: string) => unknown> {
  const { load } = await import(YAML);
  return load;
}
