/**
 * `passthru vfs`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { applyState, showPlan } from "../run/applying.ts";
import { type Arguments, fromUser, UsageError } from "../command.ts";
import { typed } from "../run/typed.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Creates virtual functions, or removes them. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [address, text] = args.operands;
  const fn = fromUser(() => host.function(address!));
  if (!/^\d{1,5}$/.test(text!)) {
    throw new UsageError(`COUNT is ${text}: expected a number, 0 or more`);
  }
  const driver = args.value("driver");
  const state: DesiredState = {
    functions: [{
      select: fn.address,
      virtualFunctions: {
        count: Number(text),
        ...driver !== undefined &&
          { driver: driver === "none" ? null : driver },
      },
    }],
  };
  if (args.has("dry-run")) {
    return typed(state, () => showPlan(args, host, terminal, state));
  }
  const name = `passthru vfs ${fn.address} ${text}`;
  return await typed(
    state,
    () => applyState(args, host, terminal, state, name),
  );
}
