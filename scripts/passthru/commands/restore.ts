/**
 * `passthru restore`
 *
 * @module
 */

import { parsePciAddress } from "../../../lib/pci/address.ts";
import type { Host } from "../../../lib/host/host.ts";
import { unpersist } from "../../../lib/provision/boot/persist.ts";
import { forget } from "../../../lib/provision/forget.ts";
import { restoreDevices } from "../run/applying.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

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
  const journal = args.value("forget");
  if (journal !== undefined) {
    return await forgetJournal(args, host, terminal, journal);
  }
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

/** Drops a journal. */
async function forgetJournal(
  args: Arguments,
  host: Host,
  terminal: Terminal,
  id: string,
): Promise<number> {
  if (args.operands.length > 0) {
    throw new UsageError("--forget takes no device: it drops a whole journal");
  }
  const { signal } = terminal;
  if (!await fromUser(() => forget(host, id, { signal }))) {
    throw new UsageError(`there is no journal ${id}`);
  }
  if (args.has("json")) writeJson(terminal, { forgotten: id });
  else terminal.write(`Dropped the journal ${id}. Nothing was undone.\n`);
  return EXIT.DONE;
}
