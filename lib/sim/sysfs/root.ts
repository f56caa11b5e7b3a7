/**
 * Shows `/sys`, put together from the views of a machine.
 *
 * @module
 */

import { basename } from "../../host/path.ts";
import type { GroupNode } from "../driver/bus.ts";
import type { Directory } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import type { MediatedTypes } from "../driver/mediated.ts";
import { PciFunction } from "../pci/function.ts";
import { miscDevices } from "../fs/devtmpfs.ts";
import { busesDirectory } from "./buses.ts";
import { DevicesDirectory } from "./devices.ts";
import { hugePagesDirectory, numaNodesDirectory } from "./huge_pages.ts";
import { groupsDirectory, iommuNames, iommusDirectory } from "./iommu.ts";
import { modulesDirectory } from "./modules.ts";
import {
  attribute,
  type Keyed,
  linksDirectory,
  linkTo,
  mapDirectory,
  only,
  onlyWhere,
  pathTree,
  readOnly,
  type Table,
  tableDirectory,
} from "../fs/tree.ts";
import {
  groupDeviceNumber,
  groupsWithNode,
  isListed,
  vfioDevicesThat,
} from "../vfio/core.ts";

const VIRTUAL = "/sys/devices/virtual";
const MISC = `${VIRTUAL}/misc`;

/**
 * `/sys`.
 *
 * @param machine The machine that it shows.
 * @param types The types of mediated devices.
 */
export function sysfs(machine: Machine, types: MediatedTypes): Directory {
  const devices = new DevicesDirectory(machine, types);
  const places: [string, (path: string) => Directory][] = [
    ["/sys/bus", (path) => busesDirectory(machine, path)],
    [
      "/sys/class/iommu",
      (path) => linksDirectory(path, () => iommuNames(machine)),
    ],
    [
      "/sys/class/misc",
      (path) =>
        linksDirectory(path, () => {
          const devices = miscDevices(machine);
          return {
            keys: () => devices.keys(),
            get: (name) => devices.has(name) ? `${MISC}/${name}` : undefined,
          };
        }),
    ],
    [
      "/sys/class/net",
      (path) => linksDirectory(path, () => interfacePaths(machine)),
    ],
    [
      "/sys/class/vfio",
      (path) =>
        linksDirectory(path, () => {
          const groups = groupsWithNode(machine);
          return {
            keys: () => groups.keys(),
            get: (name) => groups.get(name) && `${VIRTUAL}/vfio/${name}`,
          };
        }),
    ],
    [
      "/sys/class/vfio-dev",
      (path) => linksDirectory(path, () => vfioDevicePaths(machine)),
    ],
    ["/sys/devices", () => devices],
    ["/sys/devices/system/node", (path) => numaNodesDirectory(machine, path)],
    [
      MISC,
      (path) => mapDirectory(path, () => miscDevices(machine), miscDirectory),
    ],
    [`${VIRTUAL}/iommu`, (path) => iommusDirectory(machine, path)],
    [`${VIRTUAL}/vfio`, (path) => vfioGroupsDirectory(machine, path)],
    [
      "/sys/firmware/acpi/tables",
      (path) => tableDirectory(machine, path, ACPI),
    ],
    ["/sys/kernel/iommu_groups", (path) => groupsDirectory(machine, path)],
    ["/sys/kernel/mm/hugepages", (path) => hugePagesDirectory(machine, path)],
    ["/sys/module", (path) => modulesDirectory(machine, path)],
    ...[...types.keys()].filter((path) => path.startsWith(VIRTUAL))
      .map((path): [string, () => Directory] => [
        path,
        () => devices.below(path),
      ]),
  ];
  if (types.size > 0) {
    const parents = [...types.keys()].map((path): [string, string] => [
      basename(path),
      path,
    ]);
    places.push([
      "/sys/class/mdev_bus",
      (path) => linksDirectory(path, () => new Map(parents)),
    ]);
  }
  return pathTree(places.map(([path, view]) => [path, view(path)]));
}

/** The firmware's tables for an IOMMU. */
const ACPI: Table<Machine> = {
  DMAR: onlyWhere(
    ({ iommu }) => iommu?.kind === "dmar",
    readOnly(() => "", 0o400),
  ),
  IVRS: onlyWhere(
    ({ iommu }) => iommu?.kind === "ivhd",
    readOnly(() => "", 0o400),
  ),
  VIOT: onlyWhere(
    ({ iommu }) => iommu?.kind === "virtio",
    readOnly(() => "", 0o400),
  ),
};

/** Returns the paths of network interfaces, by name. */
function interfacePaths(machine: Machine): Map<string, string> {
  return new Map(
    [...machine.devices.on("pci").values()].flatMap((device) =>
      device instanceof PciFunction && device.network !== undefined
        ? [[device.network.name, `${device.path}/net/${device.network.name}`]]
        : []
    ),
  );
}

function vfioGroupsDirectory(machine: Machine, path: string): Directory {
  const table: Table<GroupNode> = {
    dev: readOnly((node) => `${groupDeviceNumber(node)}\n`),
    subsystem: (_, path) => linkTo(path, "/sys/class/vfio"),
  };
  return mapDirectory(
    path,
    () => groupsWithNode(machine),
    ({ node }, path) => tableDirectory(node!, path, table),
  );
}

/** The directory of a device of `misc`, by its number. */
function miscDirectory(number: string, path: string): Directory {
  return mapDirectory(
    path,
    () => only("dev", `${number}\n`),
    (text, path) => attribute({}, path, 0o444, () => ({ show: () => text })),
  );
}

function vfioDevicePaths(machine: Machine): Keyed<string> {
  const devices = vfioDevicesThat(
    machine,
    (device) => isListed(machine, device),
  );
  return {
    keys: () => devices.keys(),
    get(name) {
      const device = devices.get(name);
      return device && `${device.path}/vfio-dev/${name}`;
    },
  };
}
