/**
 * Makes simulated hosts.
 *
 * @module
 */

import { Host } from "../host/host.ts";
import { buildMachine } from "./machine/build.ts";
import type { SimulatedMachine } from "./machine/control.ts";
import type { Topology } from "./machine/topology.ts";
import type { ProcessOptions } from "./process/calls/process.ts";

/**
 * Makes a host that exists in memory only and behaves like a real one. Scripts
 * and tests run on it in a sandbox, without any permission.
 *
 * @param topology Its hardware and kernel: a few lines, or a recording of
 * {@linkcode Host.snapshot}.
 * @throws {TypeError} When such a machine is impossible.
 *
 * @example
 * ```ts
 * import { simulate } from "@passthru/vfio/sim";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * await using taken = await host.take("0000:01:00.0");
 * console.log(taken.device.driver); // vfio-pci
 * ```
 */
export function simulate(topology?: Topology): SimulatedHost {
  return new SimulatedHost(buildMachine(topology));
}

/**
 * A simulated machine as one of its processes sees it.
 *
 * @example A second process, of a user without privileges
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
   * @param process The name, user and limits of the process.
   */
  constructor(machine: SimulatedMachine, process?: ProcessOptions) {
    super({ kernel: machine.spawn(process) });
    this.machine = machine;
  }
}
