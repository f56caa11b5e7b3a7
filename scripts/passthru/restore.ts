/**
 * `passthru restore`
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import { restoreDevices } from "./applying.ts";
import type { Arguments } from "./command.ts";
import type { Terminal } from "./terminal.ts";

/** Undoes what was applied. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  return await restoreDevices(args, host, terminal, args.operands);
}
