/**
 * Makes the topology of a machine as it is.
 *
 * @module
 */

import { basename } from "../../host/path.ts";
import type {
  DriverRecording,
  KernelRecording,
  MediatedRecording,
} from "../../host/snapshot/recording.ts";
import type { Driver, Group } from "../driver/bus.ts";
import { BusDevice } from "../driver/bus_device.ts";
import { MediatedDevice, type MediatedTypes } from "../driver/mediated.ts";
import type { Machine } from "../machine/machine.ts";
import type {
  DeviceTopology,
  FunctionTopology,
  MediatedTypeTopology,
  Topology,
} from "../machine/topology.ts";
import { BRIDGE } from "../machine/function_builder.ts";
import { PciFunction } from "../pci/function.ts";
import { PhysicalFunction, VirtualFunction } from "../pci/sriov.ts";
import type { SimKernel } from "../process/kernel.ts";
import { changesOf } from "./changes.ts";
import { diskOf, nodesOf } from "./files.ts";
import type { Kept, KeptModule } from "./kept.ts";

/**
 * Makes the topology of a machine as it is.
 *
 * @param machine The machine.
 * @param types The types of mediated devices.
 * @param init A process of root's.
 * @param made The topology that it was made of.
 */
export function topologyOf(
  machine: Machine,
  types: MediatedTypes,
  init: SimKernel,
  made: Topology,
): Topology {
  const functions = [...machine.devices.on("pci").values()]
    .filter((device) => device instanceof PciFunction);
  const present = Object.fromEntries(
    functions.map((fn) => [fn.name, functionOf(machine, fn, made)]),
  );
  // An entry without an id is a virtual function's.
  const absent = Object.entries(made.functions ?? {})
    .filter(([address, { id, model }]) =>
      !Object.hasOwn(present, address) &&
      (id !== undefined || model !== undefined)
    );
  const devices = [...machine.devices]
    .filter((device) => device instanceof BusDevice);
  const kept: Kept = {
    nextPid: machine.nextPid,
    absent: absent.map(([address]) => address),
    ...changesOf(machine, functions, devices),
    ...machine.modules.size > 0 && { modules: modulesOf(machine) },
    disk: diskOf(init),
    nodes: nodesOf(init),
  };
  return {
    version: 1,
    iommu: made.iommu ?? "intel",
    ...made.dirtyTracking !== undefined &&
      { dirtyTracking: made.dirtyTracking },
    ...made.firstStage !== undefined && { firstStage: made.firstStage },
    kernel: kernelOf(machine),
    functions: { ...Object.fromEntries(absent), ...present },
    devices: Object.fromEntries(
      devices.map((device) => [
        `${device.bus}/${device.name}`,
        deviceOf(machine, device, made),
      ]),
    ),
    drivers: driversOf(machine, made),
    mediatedTypes: mediatedTypesOf(types, made),
    mediated: mediatedOf(machine),
    hugePages: hugePagesOf(machine),
    files: viewsOf(init, made),
    ...made.unknown !== undefined && { unknown: made.unknown },
    kept,
  };
}

function functionOf(
  machine: Machine,
  fn: PciFunction,
  made: Topology,
): FunctionTopology {
  const base = fn instanceof VirtualFunction
    ? {}
    : made.functions?.[fn.name] ?? BRIDGE;
  const { override: _, ...rest } = base;
  const { driver, override, power, group } = fn;
  return {
    ...rest,
    driver: driver?.name ?? null,
    power,
    ...(override !== undefined && { override }),
    ...groupOf(machine, group),
    ...(fn instanceof PhysicalFunction && base.sriov !== undefined && {
      sriov: {
        ...base.sriov,
        enabled: fn.functions.size,
        autoprobe: fn.autoprobe,
      },
    }),
  };
}

function deviceOf(
  machine: Machine,
  { bus, name, driver, override, group }: BusDevice,
  made: Topology,
): DeviceTopology {
  const { override: _, ...rest } = made.devices?.[`${bus}/${name}`] ?? {};
  return {
    ...rest,
    driver: driver?.name ?? null,
    ...(override !== undefined && { override }),
    ...groupOf(machine, group),
  };
}

/** The group of a device, if the machine has an IOMMU. */
function groupOf(
  { iommu }: Machine,
  group: Group | undefined,
): { readonly group?: number | null } {
  if (iommu === undefined) return {};
  return { group: group?.kind === "iommu" ? Number(group.id) : null };
}

function kernelOf({ features }: Machine): KernelRecording {
  const { release, iommufd, commandLine, translation } = features;
  return {
    release,
    iommufd,
    commandLine,
    translation,
    unsafeNoIommu: features.noIommu,
    denylist: features.denylist,
    mappingLimit: features.mappingLimit,
  };
}

function modulesOf({ modules }: Machine): Record<string, KeptModule> {
  return Object.fromEntries(
    [...modules].map(([name, { users, driver }]) => [
      name,
      {
        users: [...users],
        ...driver !== undefined && { driver: basename(driver) },
      },
    ]),
  );
}

/** The drivers, with all that was derived from their devices. */
function driversOf(
  { drivers, modules }: Machine,
  made: Topology,
): Record<string, DriverRecording | false> {
  const missing = Object.entries(made.drivers ?? {})
    .filter(([, driver]) => driver === false);
  // Those of mediated devices come with their types, others with modules.
  const ofModules = new Set(
    [...modules.values()].map(({ driver }) => driver),
  );
  const loaded = [...drivers].filter(([key, { bus }]) =>
    bus !== "mdev" && !ofModules.has(key)
  ).map(([, driver]) => driver);
  return Object.fromEntries([
    ...missing,
    ...loaded.map((driver) => {
      const { bus, name } = driver;
      return [bus === "pci" ? name : `${bus}/${name}`, driverOf(driver)];
    }),
  ]);
}

function driverOf(
  { ids, dma, virtualFunctions, bindable }: Driver,
): DriverRecording {
  return {
    ids: [...ids],
    dma,
    ...(virtualFunctions !== undefined && { virtualFunctions }),
    bindable,
  };
}

function mediatedTypesOf(
  types: MediatedTypes,
  made: Topology,
): Record<string, Record<string, MediatedTypeTopology>> {
  return Object.fromEntries(
    [...types].map(([path, named]) => {
      const parent = parentName(path);
      const entries = [...named.values()].map(({ name, instances, driver }) => [
        name,
        {
          ...made.mediatedTypes?.[parent]?.[name],
          instances,
          driver: driver.name,
        },
      ]);
      return [parent, Object.fromEntries(entries)];
    }),
  );
}

function mediatedOf({ devices }: Machine): Record<string, MediatedRecording> {
  return Object.fromEntries(
    [...devices.on("mdev").values()]
      .filter((device) => device instanceof MediatedDevice)
      .map(({ name, type }) => [
        name,
        { parent: parentName(type.parent), type: type.name },
      ]),
  );
}

/** The name of a parent in topologies: a function's address, or a path. */
function parentName(path: string): string {
  return path.startsWith("/sys/devices/virtual/") ? path : basename(path);
}

function hugePagesOf({ hugePages }: Machine): Record<string, number> {
  return Object.fromEntries(
    [...hugePages.shifts].map((shift) => {
      const unit = Math.floor((shift - 10) / 10);
      const size = `${2 ** (shift - 10 - 10 * unit)}${"KMG"[unit]}`;
      return [size, hugePages.total(shift)];
    }),
  );
}

/** The files in place of those of sysfs, procfs and devtmpfs. */
function viewsOf(
  init: SimKernel,
  made: Topology,
): NonNullable<Topology["files"]> {
  return Object.fromEntries(
    Object.entries(made.files ?? {})
      .filter(([path]) => /^\/(?:dev|proc|sys)\//.test(path))
      .map(([path, what]) => [
        path,
        typeof what === "string" ? init.readFile(path) : what,
      ]),
  );
}
