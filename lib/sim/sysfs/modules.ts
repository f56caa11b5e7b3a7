/**
 * Shows `/sys/module`: the modules of drivers, and the parameters of VFIO's.
 *
 * @module
 */

import type { Driver, LoadedModule } from "../driver/bus.ts";
import type { Directory } from "../fs/file.ts";
import { boolean, unsigned } from "./input.ts";
import type { Machine } from "../machine/machine.ts";
import { moduleOf } from "./buses.ts";
import {
  linkTo,
  mapDirectory,
  nested,
  only,
  readOnly,
  readWrite,
  type Table,
  tableDirectory,
  union,
} from "../fs/tree.ts";

/** Makes a parameter that is true or false. */
function flag(name: "noIommu" | "enableSriov"): Table<Machine>[string] {
  return readWrite(
    ({ features }) => features[name] ? "Y\n" : "N\n",
    ({ features }, text) => {
      features[name] = boolean(text);
    },
  );
}

/** Whether a module trusts devices whose interrupts are not told apart. */
function trust(module: string): Table<Machine>[string] {
  return readWrite(
    ({ features }) => features.unsafeInterrupts.has(module) ? "Y\n" : "N\n",
    ({ features }, text) => {
      if (boolean(text)) features.unsafeInterrupts.add(module);
      else features.unsafeInterrupts.delete(module);
    },
  );
}

/** The parameters that change what the simulation does, by module. */
const PARAMETERS: Readonly<Record<string, Table<Machine>>> = {
  vfio: { enable_unsafe_noiommu_mode: flag("noIommu") },
  iommufd: { allow_unsafe_interrupts: trust("iommufd") },
  vfio_iommu_type1: {
    allow_unsafe_interrupts: trust("vfio_iommu_type1"),
    dma_entry_limit: readWrite(
      ({ features }) => `${features.mappingLimit}\n`,
      ({ features }, text) => {
        features.mappingLimit = unsigned(text, 0xffff_ffff);
      },
    ),
  },
  vfio_pci: {
    enable_sriov: flag("enableSriov"),
    disable_denylist: readOnly(({ features }) =>
      features.denylist ? "N\n" : "Y\n"
    ),
  },
};

/** What a module has that was loaded. */
const LOADED: Table<LoadedModule> = {
  initstate: readOnly(() => "live\n"),
  refcnt: readOnly(({ users }) => `${users.size}\n`),
  holders: ({ users }, path) =>
    mapDirectory(
      path,
      () => new Map([...users].map((name) => [name, name])),
      (name, path) => linkTo(path, `/sys/module/${name}`),
    ),
};

/** Makes `/sys/module`. */
export function modulesDirectory(machine: Machine, path: string): Directory {
  const withoutDrivers = () => {
    if (!machine.hasVfio) return [];
    const vfio = ["vfio", "vfio_iommu_type1"];
    return machine.features.iommufd ? [...vfio, "iommufd"] : vfio;
  };
  const named = (name: string) => {
    const loaded = machine.modules.get(name);
    if (withoutDrivers().includes(name)) return { name, drivers: [], loaded };
    const drivers = [...machine.drivers.values()]
      .filter((driver) => moduleOf(driver) === name);
    return drivers.length > 0 || loaded !== undefined
      ? { name, drivers, loaded }
      : undefined;
  };
  const names = () =>
    new Set([
      ...[...machine.drivers.values()].map(moduleOf),
      ...withoutDrivers(),
      ...machine.modules.keys(),
    ]);
  return mapDirectory(
    path,
    () => ({ keys: names, get: named }),
    ({ name, drivers, loaded }, path) =>
      union(
        ...loaded === undefined ? [] : [tableDirectory(loaded, path, LOADED)],
        tableDirectory(machine, path, {
          ...(PARAMETERS[name] && { parameters: nested(PARAMETERS[name]) }),
        }),
        mapDirectory(
          path,
          () => only("drivers", drivers.length > 0 ? drivers : undefined),
          driversDirectory,
        ),
      ),
  );
}

function driversDirectory(drivers: readonly Driver[], path: string): Directory {
  return mapDirectory(
    path,
    () =>
      new Map(drivers.map((driver) => [
        `${driver.bus}:${driver.name}`,
        driver,
      ])),
    ({ bus, name }, path) => linkTo(path, `/sys/bus/${bus}/drivers/${name}`),
  );
}
