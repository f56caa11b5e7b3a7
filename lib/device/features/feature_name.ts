/**
 * The features of a device that the kernel knows, by name.
 *
 * @module
 */

import {
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
} from "../../uapi/vfio/feature.ts";
import { VFIO_DEVICE_FEATURE_MASK } from "../../uapi/vfio/feature_ioctl.ts";
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_MIGRATION,
} from "../../uapi/vfio/migration.ts";

/**
 * The name of a feature: that of the kernel's `VFIO_DEVICE_FEATURE_*`, in lower
 * case and with hyphens.
 */
export type FeatureName =
  | "pci-vf-token"
  | "migration"
  | "mig-device-state"
  | "low-power-entry"
  | "low-power-entry-with-wakeup"
  | "low-power-exit"
  | "dma-logging-start"
  | "dma-logging-stop"
  | "dma-logging-report"
  | "mig-data-size"
  | "bus-master"
  | "dma-buf"
  | "mig-precopy-infov2"
  | "zpci-error";

const NUMBERS: Readonly<Record<FeatureName, number>> = {
  "pci-vf-token": VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  "migration": VFIO_DEVICE_FEATURE_MIGRATION,
  "mig-device-state": VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  "low-power-entry": VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  "low-power-entry-with-wakeup":
    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  "low-power-exit": VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  "dma-logging-start": VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  "dma-logging-stop": VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  "dma-logging-report": VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  "mig-data-size": VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  "bus-master": VFIO_DEVICE_FEATURE_BUS_MASTER,
  "dma-buf": VFIO_DEVICE_FEATURE_DMA_BUF,
  "mig-precopy-infov2": VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  "zpci-error": VFIO_DEVICE_FEATURE_ZPCI_ERROR,
};

/** The names of all features that Linux 7.3 has, by their numbers. */
export const FEATURE_NAMES: readonly FeatureName[] =
  (Object.keys(NUMBERS) as FeatureName[])
    .sort((a, b) => NUMBERS[a] - NUMBERS[b]);

/**
 * Returns the number of a feature.
 *
 * @param feature Its name, or its number.
 * @throws {TypeError} If there is no such name.
 * @throws {RangeError} If the number does not fit.
 */
export function featureNumber(feature: FeatureName | number): number {
  if (typeof feature === "string") {
    if (Object.hasOwn(NUMBERS, feature)) return NUMBERS[feature];
    throw new TypeError(
      `Cannot find the feature "${feature}": expected ` +
        FEATURE_NAMES.map((name) => `"${name}"`).join(", "),
    );
  }
  if (
    Number.isInteger(feature) && feature >= 0 &&
    feature <= VFIO_DEVICE_FEATURE_MASK
  ) return feature;
  throw new RangeError(
    `Cannot use feature ${feature}: expected a number from 0 to ` +
      `${VFIO_DEVICE_FEATURE_MASK}`,
  );
}
