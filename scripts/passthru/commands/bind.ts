/**
 * `passthru bind`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { applyState, showPlan } from "../run/applying.ts";
import { type Arguments, fromUser } from "../command.ts";
import { typed } from "../run/typed.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Binds functions to a driver. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [address, driver = "vfio-pci"] = args.operands;
  const fn = fromUser(() => host.function(address!));
  const state: DesiredState = {
    functions: [{
      select: fn.address,
      driver: driver === "none" ? null : driver,
      ...args.has("whole-group") && { group: "all endpoints" },
    }],
  };
  if (args.has("dry-run")) {
    return typed(state, () => showPlan(args, host, terminal, state));
  }
  const name = `passthru bind ${fn.address} ${driver}`;
  return await typed(
    state,
    () => applyState(args, host, terminal, state, name),
  );
}
