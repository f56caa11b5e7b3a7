/**
 * Shows `/sys/bus`: devices and drivers (`drivers/base/bus.c`).
 *
 * @module
 */

import { run, type Steps } from "../process/blocking.ts";
import type { Device, Driver } from "../driver/bus.ts";
import { bind, probe, unbind } from "../driver/core.ts";
import type { Directory, Link } from "../fs/file.ts";
import { word } from "./input.ts";
import type { Machine } from "../machine/machine.ts";
import { Refusal, refuse } from "../process/refusal.ts";
import {
  type Keyed,
  link,
  linkTo,
  mapDirectory,
  onlyWhere,
  type Table,
  tableDirectory,
  union,
  writeOnly,
} from "../fs/tree.ts";

/** A bus. */
interface Bus {
  readonly name: string;
}

function driverTable(machine: Machine): Table<Driver> {
  return {
    bind: onlyWhere(
      ({ bindable }) => bindable,
      writeOnly((driver, text) =>
        run(bindAlone(machine, named(machine, driver.bus, text), driver))
      ),
    ),
    unbind: onlyWhere(
      ({ bindable }) => bindable,
      writeOnly((driver, text) =>
        run(unbind(machine, named(machine, driver.bus, text), driver))
      ),
    ),
    module: link((driver) => `/sys/module/${moduleOf(driver)}`),
  };
}

function busTable(machine: Machine): Table<Bus> {
  const drivers = driverTable(machine);
  return {
    devices: ({ name }, path) =>
      mapDirectory(path, () => machine.devices.on(name), linkToDevice),
    drivers: ({ name }, path) =>
      mapDirectory(
        path,
        () => driversOf(machine, name),
        (driver, path) =>
          union(
            tableDirectory(driver, path, drivers),
            mapDirectory(path, () => boundTo(machine, driver), linkToDevice),
          ),
      ),
    drivers_probe: writeOnly(({ name }, text) =>
      run(probeAlone(machine, named(machine, name, text)))
    ),
  };
}

/** Makes `/sys/bus`. */
export function busesDirectory(machine: Machine, path: string): Directory {
  const table = busTable(machine);
  const buses = new Map<string, Bus>([["pci", { name: "pci" }]]);
  const named = (name: string) => {
    const existing = buses.get(name);
    if (existing !== undefined) return existing;
    if (!names().has(name)) return undefined;
    const bus = { name };
    buses.set(name, bus);
    return bus;
  };
  const names = () =>
    new Set([
      "pci",
      ...[...machine.drivers.values()].map(({ bus }) => bus),
      ...machine.devices.buses,
    ]);
  return mapDirectory(
    path,
    () => ({ keys: names, get: named }),
    (bus, path) => tableDirectory(bus, path, table),
  );
}

/** `bind_store()` */
function* bindAlone(
  machine: Machine,
  device: Device,
  driver: Driver,
): Steps<void> {
  yield* bind(device, driver);
  machine.announce("bind", device.path);
}

/** `drivers_probe_store()`: every refusal becomes EINVAL. */
function* probeAlone(machine: Machine, device: Device): Steps<void> {
  try {
    yield* probe(machine, device);
  } catch (error) {
    throw error instanceof Refusal ? new Refusal("EINVAL") : error;
  }
}

function linkToDevice({ path: target }: Device, path: string): Link {
  return linkTo(path, target);
}

function boundTo(machine: Machine, driver: Driver): Keyed<Device> {
  const devices = machine.devices.on(driver.bus);
  const get = (name: string) => {
    const device = devices.get(name);
    return device?.driver === driver && !device.unbinding ? device : undefined;
  };
  return {
    keys: () => [...devices.keys()].filter((name) => get(name) !== undefined),
    get,
  };
}

function driversOf({ drivers }: Machine, bus: string): Keyed<Driver> {
  return {
    keys: () =>
      [...drivers.values()].filter((driver) => driver.bus === bus)
        .map(({ name }) => name),
    get: (name) => drivers.get(`${bus}/${name}`),
  };
}

function named(machine: Machine, bus: string, text: string): Device {
  return machine.devices.on(bus).get(word(text)) ?? refuse("ENODEV");
}

/** Returns the name of a driver's module. */
export function moduleOf({ name }: Driver): string {
  return name.replaceAll("-", "_");
}
