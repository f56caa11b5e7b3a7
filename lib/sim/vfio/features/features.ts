/**
 * Simulates VFIO_DEVICE_FEATURE (`vfio_ioctl_device_feature()` in
 * `drivers/vfio/vfio_main.c`).
 *
 * @module
 */

import {
  vfio_device_feature,
  VFIO_DEVICE_FEATURE_MASK,
} from "../../../uapi/vfio/feature_ioctl.ts";
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
  VFIO_MIGRATION_PRE_COPY,
} from "../../../uapi/vfio/migration.ts";
import type { Device } from "../../driver/bus.ts";
import type { Process } from "../../fs/file.ts";
import { inMemory, received } from "../../process/argument.ts";
import { refuse } from "../../process/refusal.ts";
import {
  type FeatureRequest,
  GET,
  isAsked,
  PROBE,
  SET,
} from "./feature_request.ts";
import { pciFeature } from "./pci_features.ts";

const { data: HEAD } = vfio_device_feature.offset;

/**
 * Answers the ioctl.
 *
 * @param device The device.
 * @param argument The ioctl's argument.
 * @param process The caller.
 */
export function deviceFeature(
  device: Device,
  argument: Uint8Array | bigint,
  process: Process,
): number {
  const { argsz, flags } = received(vfio_device_feature, argument);
  if ((flags & ~(VFIO_DEVICE_FEATURE_MASK | GET | SET | PROBE)) !== 0) {
    refuse("EINVAL");
  }
  const both = (flags & GET) !== 0 && (flags & SET) !== 0;
  if (both && (flags & PROBE) === 0) refuse("EINVAL");
  const data = inMemory(argument).subarray(HEAD, argsz);
  const request = { flags, data, process };
  const number = flags & VFIO_DEVICE_FEATURE_MASK;
  return common(device, number, request) ??
    (device.bus === "pci" ? pciFeature(device, number, request) : undefined) ??
    refuse("ENOTTY");
}

/** The features that VFIO itself answers; `undefined` for another one. */
function common(
  device: Device,
  feature: number,
  request: FeatureRequest,
): number | undefined {
  const { core, driver } = device;
  // vfio-pci has neither: drivers made for a device do.
  const { migration = undefined, log = undefined } = driver?.name === "vfio-pci"
    ? {}
    : core;
  const { data, process, flags } = request;
  switch (feature) {
    case VFIO_DEVICE_FEATURE_MIGRATION: {
      if (migration === undefined) return refuse("ENOTTY");
      const layout = vfio_device_feature_migration;
      if (!isAsked(request, GET, layout.size)) return 0;
      layout.encode(data, { flags: BigInt(migration.flags) });
      return 0;
    }
    case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: {
      if (migration === undefined) return refuse("ENOTTY");
      const layout = vfio_device_feature_mig_state;
      if (!isAsked(request, GET | SET, layout.size)) return 0;
      const { device_state } = layout.decode(data);
      const answer = (device_state: number, data_fd: number) =>
        layout.encode(data, { device_state, data_fd });
      if ((flags & GET) !== 0) {
        answer(migration.state, -1);
        return 0;
      }
      answer(device_state, -1);
      answer(device_state, migration.set(device_state, process));
      return 0;
    }
    case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE: {
      if (!core.since(6, 2) || migration === undefined) refuse("ENOTTY");
      const layout = vfio_device_feature_mig_data_size;
      if (!isAsked(request, GET, layout.size)) return 0;
      layout.encode(data, { stop_copy_length: BigInt(migration.size) });
      return 0;
    }
    case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2: {
      if (!core.since(7, 3)) return refuse("ENOTTY");
      const precopy = (migration?.flags ?? 0) & VFIO_MIGRATION_PRE_COPY;
      if (migration === undefined || precopy === 0) return refuse("EINVAL");
      if (isAsked(request, SET)) migration.tellsReinit = true;
      return 0;
    }
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START: {
      if (log === undefined) return refuse("ENOTTY");
      if (isAsked(request, SET, vfio_device_feature_dma_logging_control.size)) {
        log.start(data, process);
      }
      return 0;
    }
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
      if (log === undefined) return refuse("ENOTTY");
      if (isAsked(request, SET)) log.stop();
      return 0;
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
      if (log === undefined) return refuse("ENOTTY");
      if (isAsked(request, GET, vfio_device_feature_dma_logging_report.size)) {
        log.report(data, process);
      }
      return 0;
    default:
      return undefined;
  }
}
