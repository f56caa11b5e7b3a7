/**
 * `passthru plan`
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import { showPlan } from "./applying.ts";
import type { Arguments } from "./command.ts";
import { readState } from "./state_file.ts";
import type { Terminal } from "./terminal.ts";

/** Says what would be done. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const state = await readState(terminal, args.operands[0]!);
  return showPlan(args, host, terminal, state);
}
