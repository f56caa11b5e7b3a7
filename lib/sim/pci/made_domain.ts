/**
 * Simulates PCI domains that a driver makes, as that of Intel's Volume
 * Management Device does (`drivers/pci/controller/vmd.c`).
 *
 * @module
 */

import { run, type Steps } from "../process/blocking.ts";
import type { Driver } from "../driver/bus.ts";
import { probe, remove } from "../driver/core.ts";
import type { Machine } from "../machine/machine.ts";
import { PciFunction, type PciFunctionOptions } from "./function.ts";
import { Refusal } from "../process/refusal.ts";

/**
 * A function with a PCI domain behind it. Binding its driver makes the domain,
 * and unbinding removes it.
 */
export class DomainMaker extends PciFunction {
  /** The root buses of the domain: `"pci10000:e0"`. */
  readonly buses: readonly string[];
  readonly #make: () => readonly PciFunction[];

  /**
   * Makes a function without a driver.
   *
   * @param machine The machine it is in.
   * @param options Its properties.
   * @param buses The root buses of its domain.
   * @param make Makes the domain's functions, in their groups and without
   * drivers.
   */
  constructor(
    machine: Machine,
    options: PciFunctionOptions,
    buses: readonly string[],
    make: () => readonly PciFunction[],
  ) {
    super(machine, options);
    this.buses = buses;
    this.#make = make;
  }

  /** The root buses that exist now. */
  get present(): Map<string, string> {
    const { devices } = this.machine;
    return new Map(
      this.buses.filter((bus) => devices.below(`${this.path}/${bus}`).size > 0)
        .map((bus) => [bus, bus]),
    );
  }

  override *abandoned(): Steps<void> {
    for (const bus of this.buses) {
      const functions = this.machine.devices.below(`${this.path}/${bus}`);
      for (const fn of [...functions.values()]) yield* remove(this.machine, fn);
    }
  }

  override settled(driver: Driver, bound: boolean): void {
    super.settled(driver, bound);
    if (!bound || driver.dma !== "kernel" || this.present.size > 0) return;
    for (const fn of this.#make()) {
      try {
        // No process uses them yet, so this does not block.
        run(probe(this.machine, fn));
      } catch (error) {
        // The function stays without a driver.
        if (!(error instanceof Refusal)) throw error;
      }
    }
  }
}
