/**
 * `passthru snapshot`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { type Arguments, EXIT } from "../command.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

/** Records the host. */
export async function run(
  _args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  writeJson(terminal, await host.snapshot());
  return EXIT.DONE;
}
