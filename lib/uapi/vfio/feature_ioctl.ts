/**
 * `linux/vfio.h`: VFIO_DEVICE_FEATURE itself.
 *
 * @module
 */

import { io, type Ioctl, type StructLayout } from "../ioctl.ts";
import {
  type Flexible,
  flexible,
  type Struct,
  struct,
  type U32,
  u32,
  type U8,
  u8,
} from "../layout.ts";
import { VFIO_BASE, VFIO_TYPE } from "./container.ts";
import {
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  vfio_device_feature_bus_master,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  vfio_device_feature_dma_buf,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
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

/** The feature's own struct, or the VF token's 16 bytes, follow in `data`. */
export const vfio_device_feature: Struct<{
  argsz: U32;
  flags: U32;
  data: Flexible<U8>;
}> = struct("vfio_device_feature", {
  argsz: u32,
  flags: u32,
  data: flexible(u8),
});
/** The part of `flags` that selects the feature. */
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
/** Read the feature into `data`. */
export const VFIO_DEVICE_FEATURE_GET = 1 << 16;
/** Set the feature from `data`. */
export const VFIO_DEVICE_FEATURE_SET = 1 << 17;
/** Only ask whether GET or SET, as given too, are supported. */
export const VFIO_DEVICE_FEATURE_PROBE = 1 << 18;

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

/**
 * Decodes what is asked: `{feature: "GET MIGRATION", data: {flags: 7n}}`, or
 * `"SET 99"` of an unknown feature. A VF token is left out.
 */
function decode(argument: Uint8Array): Readonly<Record<string, unknown>> {
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

/** Reads, sets or probes one of VFIO_DEVICE_FEATURE_*. */
export const VFIO_DEVICE_FEATURE: Ioctl = {
  ...io(
    "VFIO_DEVICE_FEATURE",
    VFIO_TYPE,
    VFIO_BASE + 17,
    vfio_device_feature,
  ),
  decode,
};
