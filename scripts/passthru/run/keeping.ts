/**
 * Keeps what a command changes on a simulated host.
 *
 * @module
 */

import type { SimulatedMachine } from "../../../lib/sim/machine/control.ts";

/**
 * Runs a command, and saves the host's topology when it was changed, also by a
 * command that fails.
 *
 * @param machine The simulated machine.
 * @param save Saves a text.
 * @param run Runs the command.
 * @returns What `run` returns.
 */
export async function keeping<T>(
  machine: SimulatedMachine,
  save: (text: string) => Promise<void>,
  run: () => T | Promise<T>,
): Promise<T> {
  const text = () => `${JSON.stringify(machine.topology(), null, 2)}\n`;
  const before = text();
  try {
    return await run();
  } finally {
    const after = text();
    if (after !== before) await save(after);
  }
}
