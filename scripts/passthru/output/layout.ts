/**
 * The regions and interrupts of an attached device.
 *
 * @module
 */

import { PciFunction } from "../../../lib/host/pci/function.ts";
import type { Area } from "../../../lib/device/regions/region.ts";
import type { VfioDevice } from "../../../lib/device/vfio_device.ts";

/** A region in JSON. */
export interface RegionJson {
  /** Its index. */
  readonly index: number;
  /** `"BAR 0"`, `"ROM"`, `"config"`, `"VGA"`, `"intel-opregion"`, `"region 9"`. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Whether it can be read. */
  readonly readable: boolean;
  /** Whether it can be written. */
  readonly writable: boolean;
  /** The parts that can be mapped. */
  readonly mappable: readonly Area[];
  /** What sysfs says of a BAR: `"memory"` or `"io"`. */
  readonly kind: "memory" | "io" | null;
  /** Whether a BAR can lie above 4 GiB. */
  readonly is64bit: boolean | null;
  /** Whether reading a BAR has no side effect. */
  readonly prefetchable: boolean | null;
}

/** A kind of interrupt in JSON. */
export interface IrqJson {
  /** Its index. */
  readonly index: number;
  /** `"INTx"`, `"MSI"`, `"MSI-X"`, `"error"`, `"request"`, `"irq 5"`. */
  readonly name: string;
  /** How many there are. */
  readonly count: number;
  /** Whether an eventfd can signal it. */
  readonly eventfd: boolean;
  /** Whether it can be masked. */
  readonly maskable: boolean;
  /** Whether it is masked when it fires. */
  readonly automasked: boolean;
  /** Whether vectors can be added while some are in use. */
  readonly resizable: boolean;
}

/** How people write the names of interrupts. */
const IRQS: Readonly<Record<string, string>> = {
  intx: "INTx",
  msi: "MSI",
  msix: "MSI-X",
};

/** The regions that a device has. */
export function regionsOf(device: VfioDevice): RegionJson[] {
  const { hostDevice } = device;
  return device.regions().map((region) => {
    const { index, name, size, readable, writable, mappable } = region;
    const bar = hostDevice instanceof PciFunction
      ? hostDevice.bars.find((bar) => bar.index === index)
      : undefined;
    return {
      index,
      name,
      size,
      readable,
      writable,
      mappable,
      kind: bar?.kind ?? null,
      is64bit: bar?.is64bit ?? null,
      prefetchable: bar?.prefetchable ?? null,
    };
  });
}

/** The interrupts that a device has. */
export function irqsOf({ interrupts }: VfioDevice): IrqJson[] {
  return interrupts.map((irq) => ({
    index: irq.index,
    name: irqText(irq.name),
    count: irq.count,
    eventfd: irq.signalsEventfds,
    maskable: irq.maskable,
    automasked: irq.automasked,
    resizable: irq.resizable,
  }));
}

/** Writes the name of a kind of interrupt as people do: `"MSI-X"`. */
export function irqText(name: string): string {
  return IRQS[name] ?? name;
}
