/**
 * `linux/vfio.h`: migration of a device, and the log of what it wrote by DMA.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import {
  type I32,
  i32,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";
import { VFIO_BASE, VFIO_TYPE } from "./container.ts";

/** GET: whether the device can migrate, and through which optional states. */
export const VFIO_DEVICE_FEATURE_MIGRATION = 1;

/** `flags` are VFIO_MIGRATION_*. */
export const vfio_device_feature_migration: Struct<{ flags: U64 }> = struct(
  "vfio_device_feature_migration",
  {
    flags: u64,
  },
);
/** STOP, STOP_COPY and RESUMING. Always set. */
export const VFIO_MIGRATION_STOP_COPY = 1 << 0;
/** RUNNING_P2P. */
export const VFIO_MIGRATION_P2P = 1 << 1;
/** PRE_COPY, and with P2P also PRE_COPY_P2P. */
export const VFIO_MIGRATION_PRE_COPY = 1 << 2;

/** GET and SET: the device's state. */
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;

/** `data_fd` carries the data where the new state begins a transfer, else -1. */
export const vfio_device_feature_mig_state: Struct<{
  device_state: U32;
  data_fd: I32;
}> = struct("vfio_device_feature_mig_state", {
  device_state: u32,
  data_fd: i32,
});

/** Cannot be asked for; only a reset leads out of it. */
export const VFIO_DEVICE_STATE_ERROR = 0;
/** Neither changes its state nor anything outside. */
export const VFIO_DEVICE_STATE_STOP = 1;
/** The device works as usual. */
export const VFIO_DEVICE_STATE_RUNNING = 2;
/** Stopped, and its state can be read. */
export const VFIO_DEVICE_STATE_STOP_COPY = 3;
/** Stopped, and a state can be written into it. */
export const VFIO_DEVICE_STATE_RESUMING = 4;
/** Running, but starts no DMA to other devices. */
export const VFIO_DEVICE_STATE_RUNNING_P2P = 5;
/** Running, and its state can be read already. */
export const VFIO_DEVICE_STATE_PRE_COPY = 6;
/** Both. */
export const VFIO_DEVICE_STATE_PRE_COPY_P2P = 7;
/** How many states there are. */
export const VFIO_DEVICE_STATE_NR = 8;

/** How much a transfer in a PRE_COPY state still has to carry, estimated. */
export const vfio_precopy_info: Struct<{
  argsz: U32;
  flags: U32;
  initial_bytes: U64;
  dirty_bytes: U64;
}> = struct("vfio_precopy_info", {
  argsz: u32,
  flags: u32,
  initial_bytes: u64,
  dirty_bytes: u64,
});
/** There is new initial data. Only after MIG_PRECOPY_INFOv2 was set. */
export const VFIO_PRECOPY_INFO_REINIT = 1 << 0;

/** On the `data_fd` of a transfer. */
export const VFIO_MIG_GET_PRECOPY_INFO: Ioctl = io(
  "VFIO_MIG_GET_PRECOPY_INFO",
  VFIO_TYPE,
  VFIO_BASE + 21,
  vfio_precopy_info,
);

/** SET: begin to log. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;

/**
 * `ranges` is the address of `num_ranges` times
 * `vfio_device_feature_dma_logging_range`; `page_size` comes back as the
 * granularity that the device chose.
 */
export const vfio_device_feature_dma_logging_control: Struct<{
  page_size: U64;
  num_ranges: U32;
  __reserved: U32;
  ranges: U64;
}> = struct("vfio_device_feature_dma_logging_control", {
  page_size: u64,
  num_ranges: u32,
  __reserved: u32,
  ranges: u64,
});

/** A range whose writes are logged. */
export const vfio_device_feature_dma_logging_range: Struct<{
  iova: U64;
  length: U64;
}> = struct("vfio_device_feature_dma_logging_range", {
  iova: u64,
  length: u64,
});

/** SET: end the log. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;

/** GET: sets the bits of the pages written since the last time. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;

/** `bitmap` is the address of the bitmap, one bit for `page_size` bytes. */
export const vfio_device_feature_dma_logging_report: Struct<{
  iova: U64;
  length: U64;
  page_size: U64;
  bitmap: U64;
}> = struct("vfio_device_feature_dma_logging_report", {
  iova: u64,
  length: u64,
  page_size: u64,
  bitmap: u64,
});

/** GET: how long the data of STOP_COPY will be, estimated. */
export const VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;

/** In bytes. */
export const vfio_device_feature_mig_data_size: Struct<{
  stop_copy_length: U64;
}> = struct("vfio_device_feature_mig_data_size", {
  stop_copy_length: u64,
});

/** SET: `flags` of `vfio_precopy_info` is valid from now on. */
export const VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12;

/** The register of the first migration protocol, which no driver offers now. */
export const vfio_device_migration_info: Struct<{
  device_state: U32;
  reserved: U32;
  pending_bytes: U64;
  data_offset: U64;
  data_size: U64;
}> = struct("vfio_device_migration_info", {
  device_state: u32,
  reserved: u32,
  pending_bytes: u64,
  data_offset: u64,
  data_size: u64,
});
/** No bit: the device is stopped. */
export const VFIO_DEVICE_STATE_V1_STOP = 0;
/** The device works. */
export const VFIO_DEVICE_STATE_V1_RUNNING = 1 << 0;
/** Its state can be read. */
export const VFIO_DEVICE_STATE_V1_SAVING = 1 << 1;
/** A state can be written into it. */
export const VFIO_DEVICE_STATE_V1_RESUMING = 1 << 2;
/** All bits of the first protocol's `device_state`. */
export const VFIO_DEVICE_STATE_MASK = VFIO_DEVICE_STATE_V1_RUNNING |
  VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING;
