/**
 * What a VFIO_DEVICE_FEATURE asks, for people: `vfio.h` has no such thing.
 *
 * @module
 */

import type { StructLayout } from "../ioctl.ts";
import {
  vfio_device_feature,
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  vfio_device_feature_bus_master,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  vfio_device_feature_dma_buf,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature_zpci_err,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
  vfio_device_low_power_entry_with_wakeup,
} from "./feature.ts";
import {
  vfio_device_feature_dma_logging_control,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  vfio_device_feature_dma_logging_report,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  vfio_device_feature_mig_data_size,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  vfio_device_feature_mig_state,
  VFIO_DEVICE_FEATURE_MIGRATION,
  vfio_device_feature_migration,
} from "./migration.ts";

/** A feature: its name after VFIO_DEVICE_FEATURE_, and its struct. */
type Feature = readonly [name: string, struct?: StructLayout];

/** The token has no struct, and is a secret. */
const FEATURES: ReadonlyMap<number, Feature> = new Map<number, Feature>([
  [VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, ["PCI_VF_TOKEN"]],
  [VFIO_DEVICE_FEATURE_MIGRATION, [
    "MIGRATION",
    vfio_device_feature_migration,
  ]],
  [VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, [
    "MIG_DEVICE_STATE",
    vfio_device_feature_mig_state,
  ]],
  [VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, ["LOW_POWER_ENTRY"]],
  [VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, [
    "LOW_POWER_ENTRY_WITH_WAKEUP",
    vfio_device_low_power_entry_with_wakeup,
  ]],
  [VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, ["LOW_POWER_EXIT"]],
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_START, [
    "DMA_LOGGING_START",
    vfio_device_feature_dma_logging_control,
  ]],
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, ["DMA_LOGGING_STOP"]],
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, [
    "DMA_LOGGING_REPORT",
    vfio_device_feature_dma_logging_report,
  ]],
  [VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, [
    "MIG_DATA_SIZE",
    vfio_device_feature_mig_data_size,
  ]],
  [VFIO_DEVICE_FEATURE_BUS_MASTER, [
    "BUS_MASTER",
    vfio_device_feature_bus_master,
  ]],
  [VFIO_DEVICE_FEATURE_DMA_BUF, ["DMA_BUF", vfio_device_feature_dma_buf]],
  [VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, ["MIG_PRECOPY_INFOv2"]],
  [VFIO_DEVICE_FEATURE_ZPCI_ERROR, [
    "ZPCI_ERROR",
    vfio_device_feature_zpci_err,
  ]],
]);

const FLAGS = [
  [VFIO_DEVICE_FEATURE_PROBE, "PROBE"],
  [VFIO_DEVICE_FEATURE_GET, "GET"],
  [VFIO_DEVICE_FEATURE_SET, "SET"],
] as const;

/** What a VFIO_DEVICE_FEATURE asks. */
export interface FeatureRequest {
  /** `"GET MIGRATION"`, or `"SET 99"` of an unknown feature. */
  readonly feature: string;
  /** The feature's struct, where it has one and all of it is there. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/**
 * Decodes the argument of a VFIO_DEVICE_FEATURE, without a VF token.
 *
 * @param argument The argument.
 */
export function decodeFeatureRequest(argument: Uint8Array): FeatureRequest {
  const { flags } = vfio_device_feature.decode(argument);
  const number = flags & VFIO_DEVICE_FEATURE_MASK;
  const [name = String(number), struct] = FEATURES.get(number) ?? [];
  const ways = FLAGS.filter(([bit]) => (flags & bit) !== 0)
    .map(([, way]) => way);
  const feature = [...ways, name].join(" ");
  const { data: at } = vfio_device_feature.offset;
  const present = struct !== undefined && argument.length >= at + struct.size;
  return present ? { feature, data: struct.decode(argument, at) } : { feature };
}
