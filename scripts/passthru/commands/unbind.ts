/**
 * `passthru unbind`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { restoreDevices } from "../run/applying.ts";
import { type Arguments, fromUser } from "../command.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Gives functions back to the drivers that they had. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const addresses = args.operands.map((address) =>
    fromUser(() => host.function(address)).address
  );
  return await restoreDevices(args, host, terminal, addresses);
}
