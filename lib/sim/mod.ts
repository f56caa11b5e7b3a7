/**
 * Simulates a host in memory. Scripts and this library run on it unchanged, in
 * a sandbox, without any permission.
 *
 * @example Test a script
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { model: "edu", driver: "edu" } },
 * });
 * await using taken = await host.take("0000:01:00.0");
 * await using space = new AddressSpace({ host });
 * await using device = await VfioDevice.attach(taken.device, space);
 * console.log(device.region(0).read32(0).toString(16)); // 10000ed
 * ```
 *
 * @module
 */

export type { Ownership } from "./fs/file.ts";
export { simulate, SimulatedHost } from "./host.ts";
export type * from "./kept/kept.ts";
export type { SimulatedMachine, SimulatedProcess } from "./machine/control.ts";
export type { DmaFault } from "./machine/machine.ts";
export type * from "./machine/topology.ts";
export { Cable, type CableEnd } from "./models/e1000e/cable.ts";
export { e1000e, type E1000eOptions } from "./models/e1000e/e1000e.ts";
export type { E1000eFaults } from "./models/e1000e/faults.ts";
export type {
  LoadedData,
  ModelLog,
  ModelMigration,
  SavedData,
} from "./models/migration.ts";
export type {
  NvmeCommand,
  NvmeCompletion,
  NvmeFaults,
} from "./models/nvme/faults.ts";
export { nvme, type NvmeOptions } from "./models/nvme/nvme.ts";
export type {
  AddedRegion,
  Bar as ModelBar,
  DeviceKind,
  DeviceModel,
  DevicePort,
} from "./models/model.ts";
export { topologyFromText } from "./posted/topology.ts";
export type { Unknown } from "./posted/unknown.ts";
export type { ProcessOptions } from "./process/calls/process.ts";
