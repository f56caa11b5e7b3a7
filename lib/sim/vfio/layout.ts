/**
 * What VFIO's driver for a bus says that a device consists of.
 *
 * @module
 */

import {
  VFIO_DEVICE_FLAGS_AMBA,
  VFIO_DEVICE_FLAGS_CDX,
  VFIO_DEVICE_FLAGS_FSL_MC,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_PLATFORM,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
} from "../../uapi/vfio/all.ts";
import type { Device } from "../driver/bus.ts";

/** The numbers of a device's regions and interrupts, and its kind. */
export interface Layout {
  /** The bit of `VFIO_DEVICE_FLAGS_*` that names the kind. */
  readonly flag: number;
  /** How many regions it has. */
  readonly regions: number;
  /** How many kinds of interrupts it has. */
  readonly irqs: number;
  /** Whether it is a PCI function, with config space and its enable bits. */
  readonly isPci: boolean;
}

const FLAGS: Readonly<Record<string, number>> = {
  "amba": VFIO_DEVICE_FLAGS_AMBA,
  "cdx": VFIO_DEVICE_FLAGS_CDX,
  "fsl-mc": VFIO_DEVICE_FLAGS_FSL_MC,
  "platform": VFIO_DEVICE_FLAGS_PLATFORM,
};

const PCI: Layout = {
  flag: VFIO_DEVICE_FLAGS_PCI,
  regions: VFIO_PCI_NUM_REGIONS,
  irqs: VFIO_PCI_NUM_IRQS,
  isPci: true,
};

/** Returns what VFIO says that a device consists of. */
export function layoutOf({ bus, core }: Device): Layout {
  const flag = FLAGS[bus];
  // A mediated device is made to look like a PCI function.
  if (flag === undefined) return PCI;
  const { length } = core.model.bars;
  return { flag, regions: length, irqs: 0, isPci: false };
}
