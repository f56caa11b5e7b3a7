/**
 * The interface by which tests control a simulated machine.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import type { Ownership } from "../fs/file.ts";
import type { Unknown } from "../posted/unknown.ts";
import type { ProcessOptions } from "../process/calls/process.ts";
import type { DmaFault } from "./machine.ts";
import type { Topology } from "./topology.ts";

/** A simulated machine, as tests control it. */
export interface SimulatedMachine {
  /** The DMA that its IOMMU blocked, in order. */
  readonly faults: readonly DmaFault[];
  /** What the topology that it was made of does not tell. */
  readonly unknown: readonly Unknown[];
  /**
   * Makes a topology of which {@linkcode simulate} makes this machine as it is:
   * with the drivers that devices have, the virtual and mediated devices, the
   * settings and the files. Processes are not in it, nor what devices have in
   * their registers.
   */
  topology(): Topology;
  /** Starts a process. */
  spawn(options?: ProcessOptions): SimulatedProcess;
  /**
   * Changes the owner and mode of a file, as chown and chmod do. The change
   * lasts as long as the file exists.
   *
   * @param path A device node, or an attribute in sysfs.
   * @param to The new owner or mode.
   * @throws {KernelError} `ENOENT` and so on when there is no such file.
   */
  setOwnership(path: string, to: Ownership): void;
  /**
   * Has a function report an uncorrectable error (AER), as user space that has
   * it attached is told of.
   *
   * @param address Its PCI address.
   * @throws {TypeError} When there is no such function.
   */
  reportError(address: string): void;
}

/** A process on a simulated machine. */
export interface SimulatedProcess extends Kernel {
  /** Its process id. */
  readonly pid: number;
  /** Ends it, as SIGKILL does. Its files are closed. */
  exit(): void;
}
