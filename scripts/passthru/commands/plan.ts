/**
 * `passthru plan`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { showPlan } from "../run/applying.ts";
import type { Arguments } from "../command.ts";
import { readState } from "../run/state_file.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Prints the plan for a state file. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const state = await readState(terminal, args.operands[0]!);
  return showPlan(args, host, terminal, state);
}
