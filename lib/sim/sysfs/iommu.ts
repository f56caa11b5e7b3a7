/**
 * Shows IOMMU groups and the IOMMU itself (`drivers/iommu/iommu.c`,
 * `drivers/iommu/iommu-sysfs.c`).
 *
 * @module
 */

import { hex } from "../../hex.ts";
import type { Device, Group } from "../driver/bus.ts";
import type { Directory } from "../fs/file.ts";
import type { IovaWindow } from "../iommu/iommu.ts";
import type { Machine } from "../machine/machine.ts";
import {
  linkTo,
  mapDirectory,
  nested,
  onlyWhere,
  readOnly,
  type Table,
  tableDirectory,
} from "../fs/tree.ts";

function groupTable({ features, iommu }: Machine): Table<Group> {
  return {
    devices: ({ devices }, path) => linksTo(path, () => [...devices]),
    type: readOnly(({ kind }) =>
      kind === "iommu" ? `${features.translation}\n` : "unknown\n"
    ),
    name: onlyWhere(
      ({ kind }) => kind !== "iommu",
      readOnly(() => "vfio-noiommu\n"),
    ),
    reserved_regions: readOnly(({ kind, reserved }) =>
      kind !== "iommu" ? "" : reservedText([
        ...reserved,
        ...iommu!.reserved,
      ])
    ),
  };
}

/** A window that cannot be mapped, and its type. */
interface Reserved extends IovaWindow {
  readonly type: string;
}

/**
 * Writes the reserved windows, ascending. Adjacent windows of one type are
 * merged (`iommu_insert_resv_region()`).
 */
function reservedText(regions: readonly Reserved[]): string {
  const merged: Reserved[] = [];
  const ascending = regions
    .toSorted((a, b) => a.start < b.start ? -1 : a.start > b.start ? 1 : 0);
  for (const region of ascending) {
    const at = merged.findLastIndex(({ type }) => type === region.type);
    const before = merged[at];
    if (before === undefined || region.start > before.last + 1n) {
      merged.push(region);
    } else if (region.last > before.last) {
      merged[at] = { ...before, last: region.last };
    }
  }
  return merged.map(({ start, last, type }) =>
    `${hex(start, 16)} ${hex(last, 16)} ${type}\n`
  ).join("");
}

/** Makes `/sys/kernel/iommu_groups`. */
export function groupsDirectory(machine: Machine, path: string): Directory {
  const table = groupTable(machine);
  return mapDirectory(
    path,
    () => machine.groups,
    (group, path) => tableDirectory(group, path, table),
  );
}

// The registers of QEMU's IOMMUs: 4-level tables, queued invalidation,
// interrupt remapping (`drivers/iommu/intel/iommu.c`,
// `drivers/iommu/amd/init.c`).
const INTEL: Table<Machine> = {
  cap: readOnly(() => "d2008c222f0686\n"),
  // Scalable mode and its dirty bits come together.
  ecap: readOnly(({ iommu }) =>
    iommu!.dirtyTracking ? "280000f00f4a\n" : "f00f4a\n"
  ),
};
const AMD: Table<Machine> = {
  cap: readOnly(() => "0\n"),
  features: readOnly(({ iommu }) =>
    iommu!.dirtyTracking ? "100000000029d3:0\n" : "29d3:0\n"
  ),
};

/** Makes `/sys/devices/virtual/iommu`. */
export function iommusDirectory(machine: Machine, path: string): Directory {
  const table: Table<Machine> = {
    devices: (machine, path) =>
      linksTo(
        path,
        () =>
          [...machine.devices].filter(({ group }) => group?.kind === "iommu"),
      ),
    subsystem: (_, path) => linkTo(path, "/sys/class/iommu"),
    // A virtio device of the function that it is named after.
    device: onlyWhere(
      ({ iommu }) => iommu?.kind === "virtio",
      ({ iommu }, path) =>
        linkTo(path, `/sys/devices/pci0000:00/${iommu!.unit}/virtio0`),
    ),
    "intel-iommu": onlyWhere(
      ({ iommu }) => iommu?.kind === "dmar",
      nested(INTEL),
    ),
    "amd-iommu": onlyWhere(({ iommu }) => iommu?.kind === "ivhd", nested(AMD)),
  };
  return mapDirectory(
    path,
    () => iommuNames(machine),
    (_, path) => tableDirectory(machine, path, table),
  );
}

/**
 * Returns the path of the IOMMU, by name. All devices are behind the same one.
 */
export function iommuNames({ iommu }: Machine): Map<string, string> {
  if (iommu === undefined) return new Map();
  const { unit } = iommu;
  return new Map([[unit, `/sys/devices/virtual/iommu/${unit}`]]);
}

function linksTo(path: string, devices: () => readonly Device[]): Directory {
  return mapDirectory(
    path,
    () => new Map(devices().map((device) => [device.name, device])),
    (device, path) => linkTo(path, device.path),
  );
}
