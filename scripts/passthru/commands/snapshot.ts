/**
 * `passthru snapshot`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { type Arguments, EXIT } from "../command.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

/** Records the host. */
export function run(_args: Arguments, host: Host, terminal: Terminal): number {
  writeJson(terminal, host.snapshot());
  return EXIT.DONE;
}
