/**
 * The host of `--simulate`.
 *
 * @module
 */

import { lendPciIds } from "../../../lib/host/pci/ids.ts";
import { localKernel } from "../../../lib/kernel/local.ts";
import { simulate, type SimulatedHost } from "../../../lib/sim/mod.ts";

/**
 * Makes a simulated host. A recording has no names of devices: where this
 * machine has a `pci.ids`, they are looked up in that.
 *
 * @param snapshot What was read from JSON.
 * @throws {TypeError} When it is no snapshot.
 */
export function simulatedHost(snapshot: unknown): SimulatedHost {
  const host = simulate(snapshot as Parameters<typeof simulate>[0]);
  lendPciIds(localKernel(), host.kernel);
  return host;
}
