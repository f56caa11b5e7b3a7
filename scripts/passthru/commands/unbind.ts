/**
 * `passthru unbind`
 *
 * @module
 */

import { isVfioDriver } from "../../../lib/host/driver/vfio_driver.ts";
import type { Host } from "../../../lib/host/host.ts";
import { restoreDevices } from "../run/applying.ts";
import { type Arguments, EXIT, fromUser } from "../command.ts";
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
  const code = await restoreDevices(args, host, terminal, addresses);
  if (code !== EXIT.DONE || args.has("json")) return code;
  for (const address of addresses) {
    const { driver } = host.function(address);
    if (driver === undefined || !isVfioDriver(driver)) continue;
    terminal.warn(
      `${address} has ${driver} still, which somebody else has bound\n` +
        `hint: passthru bind ${address} DRIVER binds another driver\n`,
    );
  }
  return code;
}
