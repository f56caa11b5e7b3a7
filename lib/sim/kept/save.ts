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
import type { Driver } from "../driver/bus.ts";
import { MediatedDevice, type MediatedTypes } from "../driver/mediated.ts";
import type { Machine } from "../machine/machine.ts";
import type {
  FunctionTopology,
  MediatedTypeTopology,
  Topology,
} from "../machine/topology.ts";
import { BRIDGE } from "../machine/function_builder.ts";
import { PciFunction } from "../pci/function.ts";
import { PhysicalFunction, VirtualFunction } from "../pci/sriov.ts";
import type { SimKernel } from "../process/kernel.ts";
import { diskOf, nodesOf } from "./files.ts";
import type { Kept, VfioNumbers, VirtualNetwork } from "./kept.ts";

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
  const kept: Kept = {
    nextPid: machine.nextPid,
    absent: absent.map(([address]) => address),
    vfio: vfioNumbers(machine),
    virtualNetworks: virtualNetworks(functions),
    attributes: {
      ...attributesOf(functions),
      ...poolsOf(machine),
      ...machine.features.enableSriov && {
        "/sys/module/vfio_pci/parameters/enable_sriov": "Y",
      },
    },
    disk: diskOf(init),
    nodes: nodesOf(init),
  };
  return {
    version: 1,
    iommu: made.iommu ?? "intel",
    kernel: kernelOf(machine),
    functions: { ...Object.fromEntries(absent), ...present },
    drivers: driversOf(machine, made),
    mediatedTypes: mediatedTypesOf(types, made),
    mediated: mediatedOf(machine),
    hugePages: hugePagesOf(machine),
    files: viewsOf(init, made),
    kept,
  };
}

function functionOf(
  { iommu }: Machine,
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
    ...(iommu !== undefined &&
      { group: group?.kind === "iommu" ? Number(group.id) : null }),
    ...(fn instanceof PhysicalFunction && base.sriov !== undefined && {
      sriov: {
        ...base.sriov,
        enabled: fn.functions.size,
        autoprobe: fn.autoprobe,
      },
    }),
  };
}

function kernelOf({ features }: Machine): KernelRecording {
  const { release, iommufd, commandLine, translation } = features;
  return {
    release,
    iommufd,
    commandLine,
    translation,
    unsafeNoIommu: features.noIommu,
    mappingLimit: features.mappingLimit,
  };
}

/** The drivers of PCI, with all that was derived from their functions. */
function driversOf(
  { drivers }: Machine,
  made: Topology,
): Record<string, DriverRecording | false> {
  const missing = Object.entries(made.drivers ?? {})
    .filter(([, driver]) => driver === false);
  const loaded = [...drivers.values()].filter(({ bus }) => bus === "pci");
  return Object.fromEntries([
    ...missing,
    ...loaded.map((driver) => [driver.name, driverOf(driver)]),
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

/** The huge pages of each NUMA node, where there are several. */
function poolsOf({ hugePages }: Machine): Record<string, string> {
  if (hugePages.nodes === 1) return {};
  return Object.fromEntries(
    [...hugePages.shifts].flatMap((shift) =>
      Array.from({ length: hugePages.nodes }, (_, node) => [
        `/sys/devices/system/node/node${node}/hugepages/` +
        `hugepages-${2 ** (shift - 10)}kB/nr_hugepages`,
        String(hugePages.total(shift, node)),
      ])
    ),
  );
}

/** The attributes of functions that are not at their defaults. */
function attributesOf(
  functions: readonly PciFunction[],
): Record<string, string> {
  return Object.fromEntries(
    functions.flatMap((fn) => {
      const { path, resets, supportedResets, d3cold } = fn;
      const text = resets.join(" ");
      return [
        ...text === supportedResets.join(" ")
          ? []
          : [[`${path}/reset_method`, `${text}\n`]],
        ...d3cold === !(fn instanceof VirtualFunction)
          ? []
          : [[`${path}/d3cold_allowed`, d3cold ? "1" : "0"]],
      ];
    }),
  );
}

function vfioNumbers(machine: Machine): Record<string, VfioNumbers> {
  return Object.fromEntries(
    [...machine.vfioDevices.values()].map((device) => {
      const { id, kind, node } = device.group!;
      return [device.name, {
        number: device.vfio!.number,
        minor: node!.minor,
        ...(kind !== "iommu" && { group: Number(id) }),
      }];
    }),
  );
}

function virtualNetworks(
  functions: readonly PciFunction[],
): Record<string, VirtualNetwork> {
  return Object.fromEntries(
    functions.flatMap((fn) => {
      if (!(fn instanceof VirtualFunction)) return [];
      const { address, vlan, qos } = fn.settings;
      const mac = address.toHex();
      const isSet = vlan + qos > 0 || !/^0*$/.test(mac);
      return isSet ? [[fn.name, { mac, vlan, qos }]] : [];
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
