/**
 * iommufd itself: IO address spaces, page tables, virtual IOMMUs and their
 * queues, for who wants of Linux's IOMMUs what an `AddressSpace` does not do.
 *
 * @module
 */

export type { DriverData } from "./core/driver_data.ts";
export {
  type Attachable,
  type BoundDevice,
  type DevicePort,
  IommufdDevice,
} from "./core/device.ts";
export type { HardwareInfo, IommuKind } from "./core/hardware_info.ts";
export { IommufdFile, type Owned, type User } from "./core/iommufd_file.ts";
export { IommufdObject } from "./core/object.ts";
export { Ioas } from "./ioas/ioas.ts";
export type { IoasMapOptions } from "./ioas/map_options.ts";
export { Iommufd, type MemoryAccount } from "./iommufd.ts";
export {
  EventQueue,
  type EventQueueRequest,
  type ViommuEvent,
} from "./queues/event_queue.ts";
export { FaultQueue } from "./queues/fault_queue.ts";
export { PageRequest, type RequestedPage } from "./queues/page_request.ts";
export { Queue, type QueueParts } from "./queues/queue.ts";
export type { QueueFile } from "./queues/queue_file.ts";
export type { IovaLimits } from "./space_ioas.ts";
export type { BitmapTarget } from "./tables/dirty.ts";
export { Hwpt, type HwptOptions } from "./tables/hwpt.ts";
export { InvalidationError, type Invalidations } from "./tables/invalidate.ts";
export { type SpaceDevice, SpaceIommufd } from "./door.ts";
export { NestedHwpt, type NestedHwptOptions } from "./tables/nested_hwpt.ts";
export {
  type VtdFirstStage,
  vtdFirstStage,
  type VtdInvalidation,
  vtdInvalidations,
} from "./tables/vtd.ts";
export { HwQueue, type HwQueueRequest } from "./virtual/hw_queue.ts";
export { Vdevice } from "./virtual/vdevice.ts";
export { Viommu, ViommuRegisters } from "./virtual/viommu.ts";
