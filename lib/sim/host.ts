/**
 * A simulated machine, to be used as a host.
 *
 * @module
 */

import { Host } from "../host/host.ts";
import { buildMachine } from "./machine/build.ts";
import type { SimulatedMachine } from "./machine/control.ts";
import type { Topology } from "./machine/topology.ts";
import type { ProcessOptions } from "./process/kernel.ts";

/**
 * Makes a host that exists in memory only, and behaves as the kernel does:
 * scripts and tests run on it in a sandbox, without a permission.
 *
 * @param topology What it is made of: a few lines, or what
 * {@linkcode Host.snapshot} recorded.
 * @throws {TypeError} When there can be no such machine.
 *
 * @example
 * ```ts
 * import { simulate } from "@passthru/vfio/sim";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * await using taken = await host.take("0000:01:00.0");
 * console.log(taken.function.driver); // vfio-pci
 * ```
 */
export function simulate(topology?: Topology): SimulatedHost {
  return new SimulatedHost(buildMachine(topology));
}

/**
 * A simulated machine as one of its processes sees it.
 *
 * @example Another process, which a user without privileges runs
 * ```ts
 * import { simulate, SimulatedHost } from "@passthru/vfio/sim";
 *
 * const { machine } = simulate();
 * const other = new SimulatedHost(machine, { name: "qemu", uid: 1000 });
 * console.log(other.functions().length);
 * ```
 */
export class SimulatedHost extends Host {
  /** The machine. */
  readonly machine: SimulatedMachine;

  /**
   * Starts a process on a machine.
   *
   * @param machine The machine.
   * @param process Who the process is.
   */
  constructor(machine: SimulatedMachine, process?: ProcessOptions) {
    super({ kernel: machine.spawn(process) });
    this.machine = machine;
  }
}
