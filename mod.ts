/**
 * Device passthrough for Deno: take PCI functions from their drivers, put them
 * into a security context through VFIO, give them memory for DMA, drive their
 * registers, and put everything back. The legacy container and iommufd are one
 * interface, {@linkcode VfioDevice}.
 *
 * Everything goes through libc by FFI: a script needs `--allow-ffi` and no
 * other permission.
 *
 * @example Take a function, attach it, and give everything back
 * ```ts no-eval
 * import { AddressSpace, Host, VfioDevice } from "@passthru/vfio";
 *
 * await using taken = await new Host().take("0000:01:00.0");
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach(taken.function, space);
 * using memory = space.allocate(4096);
 * console.log(device.config.read16(0).toString(16), memory.iova);
 * ```
 *
 * @module
 */

export type {
  AttachOptions,
  BackendName,
  DmaRange,
  IommuLimits,
  IovaRange,
} from "./backends/backend.ts";
export type { Selection } from "./backends/select.ts";
export * from "./lib/device/mapped_registers.ts";
export * from "./lib/device/region.ts";
export type { Registers } from "./lib/device/registers.ts";
export * from "./lib/device/vfio_device.ts";
export {
  AddressSpace,
  type AddressSpaceOptions,
  type SpaceLimits,
} from "./lib/dma/address_space.ts";
export * from "./lib/dma/mapping.ts";
export {
  type AllocateOptions,
  DmaMemory,
  type HugePageSize,
} from "./lib/dma/memory.ts";
export {
  VfioError,
  type VfioErrorCode,
  type VfioErrorDetails,
} from "./lib/errors.ts";
export { VfioDescriptors } from "./lib/handoff/descriptors.ts";
export * from "./lib/handoff/qemu.ts";
export { qemuLockedMemory } from "./lib/handoff/qemu_memory.ts";
export type { WaitOptions } from "./lib/host/driver/deadline.ts";
export {
  type ConfigCapability,
  type ConfigSpaceDump,
  decodeConfigSpace,
} from "./lib/pci/config/decode.ts";
export type { ConfigFields, ConfigValue } from "./lib/pci/config/words.ts";
export {
  type DeviceHost,
  HostDevice,
  IommuGroup,
  type Obstacle,
  type ReservedRegion,
  type Viability,
} from "./lib/host/device.ts";
export { type DriverNode, driverNodes } from "./lib/host/driver/nodes.ts";
export { type HowToInsist, refuseInUse } from "./lib/host/guards/refuse.ts";
export type { Use, UseKind } from "./lib/host/guards/use.ts";
export { usesOf } from "./lib/host/guards/uses.ts";
export { Host, type HostOptions, SimulatedHost } from "./lib/host/host.ts";
export type { MemoryLock } from "./lib/host/iommu/memory_lock.ts";
export { bridgePath, serialNumber } from "./lib/host/pci/identity.ts";
export { Inventory } from "./lib/host/inventory.ts";
export { diagnose, type DiagnoseOptions } from "./lib/doctor/diagnose.ts";
export type {
  CheckName,
  Diagnosis,
  Finding,
  Verdict,
} from "./lib/doctor/finding.ts";
export { diagnosisText } from "./lib/doctor/text.ts";
export { explainNoGroup, type Explanation } from "./lib/host/iommu/no_iommu.ts";
export { type Bar, PciFunction } from "./lib/host/pci/function.ts";
export {
  type PciHost,
  type PciNode,
  type PciTree,
  pciTree,
  type RootBus,
  type SharedGroup,
  type SharingCause,
} from "./lib/host/pci/tree.ts";
export { TakenFunction, type TakeOptions } from "./lib/host/driver/take.ts";
export { KernelError } from "./lib/kernel/errno.ts";
export type {
  FileStatus,
  Kernel,
  Mapping,
  PollRequest,
  RegisterViews,
} from "./lib/kernel/kernel.ts";
export { apply, type ApplyOptions } from "./lib/provision/apply.ts";
export {
  Applied,
  applySteps,
  type ApplyStepsOptions,
  type StepEvent,
} from "./lib/provision/make.ts";
export { parseState, stateSchema } from "./lib/provision/state/parse.ts";
export {
  persist,
  type Persisted,
  persisted,
  type PersistOptions,
  unpersist,
} from "./lib/provision/boot/persist.ts";
export { pinOf } from "./lib/provision/state/pin.ts";
export { Plan, plan, type PlanJson } from "./lib/provision/plan/plan.ts";
export { stepSubject, stepText } from "./lib/provision/plan/text.ts";
export type { Schema } from "./lib/provision/state/rule.ts";
export {
  restore,
  type Restored,
  type RestoreOptions,
} from "./lib/provision/restore.ts";
export type * from "./lib/provision/state/state.ts";
export {
  type AppliedStatus,
  status,
  type StepStatus,
} from "./lib/provision/status.ts";
export type * from "./lib/provision/steps/step.ts";
export type { LeftStep } from "./lib/provision/journal/undo.ts";
export type {
  SimulatedMachine,
  SimulatedProcess,
} from "./lib/sim/machine/control.ts";
export type { Ownership } from "./lib/sim/fs/file.ts";
export type { ProcessOptions } from "./lib/sim/process/kernel.ts";
export type { DmaFault } from "./lib/sim/machine/machine.ts";
export type {
  Bar as ModelBar,
  DeviceKind,
  DeviceModel,
  DevicePort,
} from "./lib/sim/models/model.ts";
export type * from "./lib/sim/machine/topology.ts";
export type { Ioctl, IoctlArgument, StructLayout } from "./lib/uapi/ioctl.ts";
