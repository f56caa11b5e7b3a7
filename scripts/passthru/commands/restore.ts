/**
 * `passthru restore`
 *
 * @module
 */

import { parsePciAddress } from "../../../lib/pci/address.ts";
import type { Host } from "../../../lib/host/host.ts";
import { unpersist } from "../../../lib/provision/boot/persist.ts";
import { restoreDevices } from "../run/applying.ts";
import { type Arguments, fromUser } from "../command.ts";
import type { Terminal } from "../terminal/terminal.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Checks that an operand names a device, whether it is there or not: what it
 * was can be in the journal still.
 */
export function assertDevice(operand: string): void {
  if (UUID.test(operand) || operand.startsWith("/sys/")) return;
  fromUser(() => parsePciAddress(operand));
}

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
  for (const operand of args.operands) assertDevice(operand);
  return await restoreDevices(args, host, terminal, args.operands);
}
