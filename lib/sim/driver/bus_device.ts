/**
 * Simulates devices on buses other than PCI, such as platform devices: what
 * their bus does, and registers that are memory.
 *
 * @module
 */

import { needsGroup } from "../../host/driver/vfio_driver.ts";
import type { Machine } from "../machine/machine.ts";
import { type MemoryBar, memoryFunction } from "../models/memory.ts";
import { PciCore } from "../pci/core.ts";
import { refuse } from "../process/refusal.ts";
import { register } from "../vfio/core.ts";
import { Device, type Driver } from "./bus.ts";

/** The buses whose devices have `driver_override`. */
const OVERRIDABLE: ReadonlySet<string> = new Set([
  "amba",
  "cdx",
  "css",
  "fsl-mc",
  "platform",
]);

/** A device on a bus other than PCI. */
export class BusDevice extends Device {
  /** The machine it is in. */
  readonly machine: Machine;
  /** Its regions have no addresses. */
  readonly barAddresses = [];
  /** Whether it may be suspended: `power/control`. */
  power: "on" | "auto" = "auto";
  readonly #regions: readonly (MemoryBar | undefined)[];

  /**
   * Makes a device without a driver.
   *
   * @param machine The machine it is in.
   * @param bus The bus it is on.
   * @param name Its name, which drivers of the bus match.
   * @param regions Its regions.
   */
  constructor(
    machine: Machine,
    bus: string,
    name: string,
    regions: readonly (MemoryBar | undefined)[],
  ) {
    super(name, bus, `/sys/devices/${bus}/${name}`, [name]);
    this.machine = machine;
    this.#regions = regions;
  }

  /** Whether it has the attribute `driver_override`. */
  get overridable(): boolean {
    return OVERRIDABLE.has(this.bus);
  }

  /** Does nothing: it does no DMA. */
  blocked(): void {}

  protected override createCore(): PciCore {
    const kind = memoryFunction({ id: "0000:0000", class: 0, resets: [] }, {
      bars: this.#regions,
      msi: 0,
      msix: 0,
      intx: false,
    });
    return new PciCore(this, kind, {
      vendor: 0,
      device: 0,
      subsystemVendor: 0,
      subsystem: 0,
      class: 0,
      revision: 0,
      express: false,
      port: { isBridge: false, type: undefined, acs: false },
    });
  }

  override assertTakable(driver: Driver): void {
    if (!this.matches(driver)) refuse("ENODEV");
    // The driver of a subchannel makes mediated devices of it.
    if (driver.dma === "user" && needsGroup(this.bus)) {
      register(this.machine, this);
    }
  }
}
