/**
 * Device passthrough for Deno: take PCI functions from their drivers, put them
 * into a security context through VFIO, give them memory for DMA, drive their
 * registers, and put everything back. The legacy container and iommufd are one
 * interface, {@linkcode VfioDevice}.
 *
 * Everything goes through libc by FFI: a script needs `--allow-ffi` and no
 * other permission. What else there is has entry points of its own:
 * `@passthru/vfio/provision`, `/handoff`, `/doctor`, `/host`, `/sim`, `/pci` and
 * `/uapi`.
 *
 * @example Take a function, attach it, and give everything back
 * ```ts
 * import { AddressSpace, Host, VfioDevice } from "@passthru/vfio";
 *
 * await using taken = await new Host().take("0000:01:00.0");
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach(taken.device, space);
 * using memory = space.allocate(4096);
 * console.log(device.config.read16(0).toString(16), memory.iova);
 * ```
 *
 * @module
 */

import "./lib/host/preload.ts";
import "./lib/device/preload.ts";

export type {
  AttachOptions,
  BackendName,
  ContainerVersion,
  DmaRange,
  FileRange,
  IommuLimits,
  IovaRange,
  KnowsDevices,
  PageTable,
  PhysicalRange,
  SharedIommufd,
} from "./backends/backend.ts";
export type { Selection } from "./backends/select.ts";
export type * from "./lib/device/display/display.ts";
export type * from "./lib/device/display/edid.ts";
export type * from "./lib/device/display/plane.ts";
export type { DeviceCapability } from "./lib/device/info/capabilities.ts";
export type { DeviceApi } from "./lib/device/info/device_info.ts";
export type {
  RegionType,
  RegionTypeName,
} from "./lib/device/info/region_type.ts";
export type * from "./lib/device/regions/io_eventfd.ts";
export type {
  DmaLog,
  DmaLogOptions,
  LoggedRange,
} from "./lib/device/features/dma_log.ts";
export type { FeatureName } from "./lib/device/features/feature_name.ts";
export type { Features } from "./lib/device/features/features.ts";
export type { Sleep, SleepOptions } from "./lib/device/features/low_power.ts";
export type { FeatureDirection } from "./lib/device/features/request.ts";
export * from "./lib/device/kvm.ts";
export type { EnableOptions, Irq } from "./lib/device/interrupts/irq.ts";
export type { IrqEvents } from "./lib/device/interrupts/irq_events.ts";
export type { IrqName } from "./lib/device/interrupts/irq_names.ts";
export type { VectorRange } from "./lib/device/interrupts/irq_set.ts";
export type {
  IrqVector,
  ListenOptions,
} from "./lib/device/interrupts/irq_vector.ts";
export type { MappedRegisters } from "./lib/device/regions/mapped_registers.ts";
export type { LoadOptions } from "./lib/device/migration/load.ts";
export type { Migration } from "./lib/device/migration/migration.ts";
export type { PrecopyInfo } from "./lib/device/migration/progress.ts";
export type { SaveOptions, SaveProgress } from "./lib/device/migration/save.ts";
export type { MigrationState } from "./lib/device/migration/state.ts";
export type {
  PassedDevice,
  PassedGroup,
  PassedTarget,
} from "./lib/device/passed.ts";
export type * from "./lib/device/regions/region.ts";
export type {
  RegisterClosure,
  RegisterGate,
} from "./lib/device/regions/register_gate.ts";
export type { Registers } from "./lib/device/regions/registers.ts";
export type {
  AffectedFunction,
  HotReset,
} from "./lib/device/reset/hot_reset.ts";
export type { HotResetObstacle } from "./lib/device/reset/obstacle.ts";
export type { ResetOptions } from "./lib/device/reset/reset.ts";
export * from "./lib/device/vfio_device.ts";
export {
  AddressSpace,
  type AddressSpaceOptions,
  type SpaceLimits,
} from "./lib/dma/address_space.ts";
export type { SpaceMemory, Translation } from "./lib/dma/space_memory.ts";
export {
  DmaMapping,
  type MapOptions,
  type MappedMemory,
  type MappingOwner,
  type MemoryRange,
  type TrackedMemory,
} from "./lib/dma/mapping.ts";
export type { AllocateOptions, HugePageSize } from "./lib/dma/host_memory.ts";
export { DmaMemory, DmaSlice } from "./lib/dma/memory.ts";
export type { MapFileOptions, MemorySource } from "./lib/dma/file_memory.ts";
export type { DirtyBitmap, DirtyRange } from "./lib/dma/dirty/bitmap.ts";
export type {
  DirtySource,
  DirtyStartOptions,
} from "./lib/dma/dirty/tracked_space.ts";
export type {
  DirtyReadOptions,
  DirtyTracking,
} from "./lib/dma/dirty/tracking.ts";
export {
  VfioError,
  type VfioErrorCode,
  type VfioErrorDetails,
} from "./lib/errors.ts";
export {
  type DeviceHost,
  HostDevice,
  IommuGroup,
  type Obstacle,
  type ReservedRegion,
  type Viability,
} from "./lib/host/device.ts";
export type { WaitOptions } from "./lib/host/driver/deadline.ts";
export type { TakeOptions } from "./lib/host/take/take.ts";
export type { TakenDevice } from "./lib/host/take/taken.ts";
export { Host, type HostOptions } from "./lib/host/host.ts";
export type { MemoryLock } from "./lib/host/iommu/memory_lock.ts";
export { type Bar, PciFunction } from "./lib/host/pci/function.ts";
export type * from "./lib/host/snapshot/recording.ts";
export { KernelError } from "./lib/kernel/errno.ts";
export type {
  EventSource,
  FileStatus,
  Kernel,
  Mapping,
  PollRequest,
  ProgramResult,
  ReceivedMessage,
  RegisterViews,
} from "./lib/kernel/kernel.ts";
export type { Fd } from "./lib/kernel/fd.ts";
export { Interruption } from "./lib/kernel/interruption.ts";
export type { SignalOptions } from "./lib/kernel/abort.ts";
export type { Ioctl, IoctlArgument, StructLayout } from "./lib/uapi/ioctl.ts";
