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
  const lasting = args.value("at-boot");
  if (lasting !== undefined) {
    const { signal } = terminal;
    const found = await fromUser(() => unpersist(host, lasting, { signal }));
    terminal.warn(
      found
        ? `Nothing applies ${lasting} at boot any more; now: ` +
          "systemctl daemon-reload\n"
        : `Nothing applied ${lasting} at boot\n`,
    );
  }
  return await restoreDevices(args, host, terminal, args.operands);
}
