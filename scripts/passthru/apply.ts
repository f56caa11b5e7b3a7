/**
 * `passthru apply`
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import { applyState, showPlan } from "./applying.ts";
import type { Arguments } from "./command.ts";
import { readState } from "./state_file.ts";
import type { Terminal } from "./terminal.ts";

/** Makes the host what a file says. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [path] = args.operands;
  const state = await readState(terminal, path!);
  if (args.has("dry-run")) return showPlan(args, host, terminal, state);
  const name = args.value("name") ?? `passthru apply ${path}`;
  return await applyState(args, host, terminal, state, name);
}
