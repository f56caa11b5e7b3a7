/**
 * What the command takes from others, by versioned specifiers: a module that is
 * run by URL does not get its own import map.
 *
 * @module
 */

export { parseArgs } from "jsr:@std/cli@^1/parse-args";

/**
 * Reads YAML. Its library is loaded by the first call: it is needed only where
 * somebody writes YAML. (`npm:yaml` asks for the environment, which would cost
 * the command a permission.)
 *
 * @param text The YAML.
 */
export async function parseYaml(text: string): Promise<unknown> {
  const { load } = await import("npm:js-yaml@^4.1.0");
  return load(text);
}
