/**
 * Reads the files that a command line names.
 *
 * @module
 */

import { hasErrno } from "../../../lib/kernel/errno.ts";
import { UsageError } from "../command.ts";
import type { Terminal } from "../terminal/terminal.ts";

/**
 * Reads a file.
 *
 * @param terminal Reads it.
 * @param path The file; `-` is standard input.
 * @throws {UsageError} When there is no such file.
 */
export async function readInput(
  terminal: Terminal,
  path: string,
): Promise<string> {
  try {
    return await terminal.read(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) {
      throw new UsageError(`there is no file ${path}`);
    }
    if (hasErrno(error, "EISDIR")) throw new UsageError(`${path} is a folder`);
    throw error;
  }
}
