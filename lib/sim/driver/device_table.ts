import { dirname } from "../../host/path.ts";
import type { Device } from "./bus.ts";

const NONE: ReadonlyMap<string, Device> = new Map();

/** The devices of a machine, by bus and by parent directory. */
export class DeviceTable {
  readonly #buses = new Map<string, Map<string, Device>>();
  readonly #below = new Map<string, Map<string, Device>>();

  /** Adds a device. */
  add(device: Device): void {
    entry(this.#buses, device.bus).set(device.name, device);
    entry(this.#below, dirname(device.path)).set(device.name, device);
  }

  /** Removes a device. */
  delete(device: Device): void {
    this.#buses.get(device.bus)?.delete(device.name);
    this.#below.get(dirname(device.path))?.delete(device.name);
  }

  /** Returns the devices of a bus, by name, in the order of adding. */
  on(bus: string): ReadonlyMap<string, Device> {
    return this.#buses.get(bus) ?? NONE;
  }

  /** Returns the devices directly below a path, by name. */
  below(path: string): ReadonlyMap<string, Device> {
    return this.#below.get(path) ?? NONE;
  }

  /** The buses with devices. */
  get buses(): Iterable<string> {
    return this.#buses.keys();
  }

  /** The paths with devices directly below. */
  get parents(): Iterable<string> {
    return this.#below.keys();
  }

  /** All devices, by bus and in the order of adding. */
  *[Symbol.iterator](): Generator<Device> {
    for (const devices of this.#buses.values()) yield* devices.values();
  }
}

function entry(
  maps: Map<string, Map<string, Device>>,
  key: string,
): Map<string, Device> {
  let map = maps.get(key);
  if (map === undefined) maps.set(key, map = new Map());
  return map;
}
