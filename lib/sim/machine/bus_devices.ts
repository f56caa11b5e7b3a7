/**
 * Makes the devices on buses other than PCI, and their drivers, from a
 * topology.
 *
 * @module
 */

import { vfioDriverOf } from "../../host/driver/vfio_driver.ts";
import { Group } from "../driver/bus.ts";
import { BusDevice } from "../driver/bus_device.ts";
import { makeDriver } from "../driver/drivers.ts";
import { expectNumbers } from "../kept/load.ts";
import { Refusal } from "../process/refusal.ts";
import type { Machine } from "./machine.ts";
import { parseBars } from "./placement.ts";
import type { DeviceTopology, Topology } from "./topology.ts";

/**
 * Adds the devices of a topology that are on other buses than PCI.
 *
 * @param machine The machine.
 * @param topology The topology.
 * @throws {TypeError} When a driver refuses its device.
 */
export function addBusDevices(machine: Machine, topology: Topology): void {
  const { devices = {} } = topology;
  addDrivers(machine, topology);
  for (const [key, each] of Object.entries(devices)) {
    const { bus, name } = split(key);
    const device = new BusDevice(machine, bus, name, parseBars(each.regions));
    machine.devices.add(device);
    join(machine, device, each.group);
    expectNumbers(machine, device.group, topology.kept?.vfio?.[name]);
    bindAtBoot(machine, device, each);
  }
}

/** Splits `"platform/fe210000.ethernet"`. */
function split(key: string): { bus: string; name: string } {
  const slash = key.indexOf("/");
  return { bus: key.slice(0, slash), name: key.slice(slash + 1) };
}

/**
 * Adds the drivers of other buses that are named, or bound to a device, and
 * VFIO's for each bus with devices.
 */
function addDrivers(
  machine: Machine,
  { devices = {}, drivers = {}, kept }: Topology,
): void {
  const ids = new Map<string, string[]>();
  for (const [key, { driver }] of Object.entries(devices)) {
    const { bus, name } = split(key);
    const vfio = vfioDriverOf(bus);
    if (vfio !== undefined) ids.set(`${bus}/${vfio}`, []);
    if (typeof driver !== "string") continue;
    const own = `${bus}/${driver}`;
    ids.set(own, [...ids.get(own) ?? [], name]);
  }
  const named = Object.keys(drivers).filter((key) => key.includes("/"));
  for (const key of new Set([...named, ...ids.keys()])) {
    const { bus, name } = split(key);
    const topology = drivers[key] ?? {};
    if (topology === false) continue;
    const derived = kept === undefined ? ids.get(key) : [];
    machine.drivers.set(key, makeDriver(bus, name, topology, derived));
  }
}

/** Puts a device into the group given, or into one of its own. */
function join(
  machine: Machine,
  device: BusDevice,
  group: number | null | undefined,
): void {
  if (machine.iommu === undefined || group === null) return;
  const own = group === undefined
    ? machine.newGroup("iommu")
    : machine.groups.get(String(group)) ?? new Group(String(group));
  machine.join(device, own);
}

function bindAtBoot(
  machine: Machine,
  device: BusDevice,
  { driver = null, override }: DeviceTopology,
): void {
  if (driver !== null) {
    const found = machine.drivers.get(`${device.bus}/${driver}`);
    try {
      if (found === undefined) throw new Refusal("ENOENT");
      // Set for the check only. It is set to that of the topology afterwards.
      device.override = driver;
      device.assertTakable(found);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new TypeError(
        `Cannot bind ${device.name} to ${driver}: the kernel answers ` +
          error.code,
      );
    }
    device.driver = found;
  }
  device.override = override;
}
