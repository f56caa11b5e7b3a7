import { dirname } from "../../host/path.ts";
import type { Device } from "./bus.ts";

const NONE: ReadonlyMap<string, Device> = new Map();

/** A machine's devices: by their path, their bus, and what they are below. */
export class DeviceTable {
  readonly #buses = new Map<string, Map<string, Device>>();
  readonly #below = new Map<string, Map<string, Device>>();

  /** Adds a device. */
  add(device: Device): void {
    entry(this.#buses, device.bus).set(device.name, device);
    entry(this.#below, dirname(device.path)).set(device.name, device);
  }

  /** Takes a device out. */
  delete(device: Device): void {
    this.#buses.get(device.bus)?.delete(device.name);
    this.#below.get(dirname(device.path))?.delete(device.name);
  }

  /** The devices of a bus, by name, in the order in which they came. */
  on(bus: string): ReadonlyMap<string, Device> {
    return this.#buses.get(bus) ?? NONE;
  }

  /** The devices right below a path, by name. */
  below(path: string): ReadonlyMap<string, Device> {
    return this.#below.get(path) ?? NONE;
  }

  /** The buses that there are devices of. */
  get buses(): Iterable<string> {
    return this.#buses.keys();
  }

  /** The paths that there are devices below. */
  get parents(): Iterable<string> {
    return this.#below.keys();
  }

  /** All of them, in the order in which they came. */
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
