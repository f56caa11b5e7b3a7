/**
 * What a test does to a simulated machine from outside of its processes.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import type { Ownership } from "../fs/file.ts";
import type { ProcessOptions } from "../process/kernel.ts";
import type { DmaFault } from "./machine.ts";

/** A simulated machine, as tests have it in hand. */
export interface SimulatedMachine {
  /** The DMA that its IOMMU stopped, in order. */
  readonly faults: readonly DmaFault[];
  /** Starts a process. */
  spawn(options?: ProcessOptions): SimulatedProcess;
  /**
   * Changes who owns a file and who may open it, as chown and chmod do, for as
   * long as the file is there.
   *
   * @param path A device node, or an attribute in sysfs.
   * @param to What is changed of it.
   * @throws {KernelError} `ENOENT` and so on when there is no such file.
   */
  setOwnership(path: string, to: Ownership): void;
}

/** A process on a simulated machine: the system that it sees. */
export interface SimulatedProcess extends Kernel {
  /** Its process id. */
  readonly pid: number;
  /** Ends it, as SIGKILL does: what it has open is closed. */
  exit(): void;
}
