/**
 * The version of the command.
 *
 * @module
 */

/** The same as in `deno.json`, which a module that is run by URL lacks. */
export const VERSION = "0.1.0";
