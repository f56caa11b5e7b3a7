/**
 * The regions and interrupts of an attached device.
 *
 * @module
 */

import { PciFunction } from "../../../lib/host/pci/function.ts";
import type { Area } from "../../../lib/device/region.ts";
import type { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import {
  VFIO_DEVICE_GET_IRQ_INFO,
  vfio_irq_info,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
} from "../../../lib/uapi/vfio/device.ts";

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

const PCI_IRQS = ["INTx", "MSI", "MSI-X", "error", "request"];

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
export function irqsOf(device: VfioDevice): IrqJson[] {
  const { kernel } = device.hostDevice.host;
  return indexes(device.info.irqs).flatMap((index) => {
    const bytes = vfio_irq_info.alloc({ argsz: vfio_irq_info.size, index });
    try {
      kernel.ioctl(device.fd, VFIO_DEVICE_GET_IRQ_INFO, bytes);
    } catch (error) {
      // vfio_pci_core.c: only PCIe functions have the error interrupt.
      if (hasErrno(error, "EINVAL")) return [];
      throw error;
    }
    const { flags, count } = vfio_irq_info.decode(bytes);
    if (count === 0) return [];
    const has = (flag: number) => (flags & flag) !== 0;
    const names = device.info.pci ? PCI_IRQS : [];
    return [{
      index,
      name: names[index] ?? `irq ${index}`,
      count,
      eventfd: has(VFIO_IRQ_INFO_EVENTFD),
      maskable: has(VFIO_IRQ_INFO_MASKABLE),
      automasked: has(VFIO_IRQ_INFO_AUTOMASKED),
      resizable: !has(VFIO_IRQ_INFO_NORESIZE),
    }];
  });
}

function indexes(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
