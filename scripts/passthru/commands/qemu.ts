/**
 * `passthru qemu`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { type Arguments, fromUser } from "../command.ts";
import { type QemuWay, runQemu } from "../run/qemu.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Runs QEMU with devices of the host. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  return await fromUser(() =>
    runQemu({
      host,
      devices: args.operands,
      group: args.has("whole-group") ? "all endpoints" : undefined,
      insist: args.values("insist"),
      by: args.value("by") as QemuWay | undefined,
      user: args.value("user"),
      program: args.value("program"),
      memoryLock: mebibytes(args.value("memory-lock")),
      args: args.rest,
      note: (line) => terminal.warn(`${line}\n`),
    })
  );
}

function mebibytes(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return BigInt(text) << 20n;
  throw new TypeError(`--memory-lock is ${text}: expected a number of MiB`);
}
