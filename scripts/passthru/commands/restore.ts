/**
 * `passthru restore`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { unpersist } from "../../../lib/provision/boot/persist.ts";
import { restoreDevices } from "../run/applying.ts";
import { type Arguments, fromUser } from "../command.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Undoes what was applied. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const bootName = args.value("at-boot");
  if (bootName !== undefined) {
    const { signal } = terminal;
    const removed = await fromUser(() => unpersist(host, bootName, { signal }));
    terminal.warn(
      removed
        ? `${bootName} is no longer applied at boot; now run: ` +
          "systemctl daemon-reload\n"
        : `${bootName} was not applied at boot\n`,
    );
  }
  return await restoreDevices(args, host, terminal, args.operands);
}
