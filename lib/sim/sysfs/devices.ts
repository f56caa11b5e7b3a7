import { basename, dirname } from "../../host/path.ts";
import type { Device } from "../driver/bus.ts";
import { BusDevice } from "../driver/bus_device.ts";
import type { Directory, Node, Process } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { DomainMaker } from "../pci/made_domain.ts";
import { MediatedDevice, type MediatedTypes } from "../driver/mediated.ts";
import { PciFunction } from "../pci/function.ts";
import { PhysicalFunction } from "../pci/sriov.ts";
import { BUS_DEVICE_TABLE } from "./bus_device.ts";
import { DEVICE_TABLE, vfioDirectory } from "./device.ts";
import { MEDIATED_TABLE, typesDirectory } from "./mediated.ts";
import { FUNCTION_TABLE, PHYSICAL_TABLE, virtualPaths } from "./pci.ts";
import {
  linksDirectory,
  mapDirectory,
  tableDirectory,
  union,
} from "../fs/tree.ts";

const PATH = "/sys/devices";

/** The directory `/sys/devices`: the root buses, and the devices below them. */
export class DevicesDirectory implements Directory {
  readonly kind = "directory";
  readonly #machine: Machine;
  readonly #types: MediatedTypes;
  /**
   * The directory of each device. It is made once, since callers read thousands
   * of devices repeatedly.
   */
  readonly #directories = new WeakMap<Device, Directory>();
  /** The directory below each path that was read. */
  readonly #below = new Map<string, Directory>();

  /**
   * @param machine The machine that it shows.
   * @param types The types of mediated devices.
   */
  constructor(machine: Machine, types: MediatedTypes) {
    this.#machine = machine;
    this.#types = types;
  }

  names(): Iterable<string> {
    return [...this.#machine.devices.parents]
      .filter((path) => dirname(path) === PATH)
      .map((path) => basename(path));
  }

  lookup(name: string, _process: Process): Node | undefined {
    const path = `${PATH}/${name}`;
    return this.#machine.devices.below(path).size === 0
      ? undefined
      : this.below(path);
  }

  /** Returns the devices and mediated types below a device or root bus. */
  below(path: string): Directory {
    let directory = this.#below.get(path);
    if (directory === undefined) {
      this.#below.set(path, directory = this.#makeBelow(path));
    }
    return directory;
  }

  #makeBelow(path: string): Directory {
    const devices = mapDirectory(
      path,
      () => this.#machine.devices.below(path),
      (device) => this.#directory(device),
    );
    const types = this.#types.get(path);
    return types === undefined
      ? devices
      : union(devices, typesDirectory(path, types));
  }

  /** Returns the root buses that a device's driver makes. */
  #buses(device: Device): Directory[] {
    if (!(device instanceof DomainMaker)) return [];
    return [
      mapDirectory(
        device.path,
        () => device.present,
        (_, path) => this.below(path),
      ),
    ];
  }

  #directory(device: Device): Directory {
    let directory = this.#directories.get(device);
    if (directory === undefined) {
      directory = union(
        ...ownDirectories(device),
        vfioDirectory(this.#machine, device),
        this.below(device.path),
        ...this.#buses(device),
      );
      this.#directories.set(device, directory);
    }
    return directory;
  }
}

function ownDirectories(device: Device): Directory[] {
  const { path } = device;
  if (device instanceof PhysicalFunction) {
    return [
      tableDirectory(device, path, FUNCTION_TABLE),
      tableDirectory(device, path, PHYSICAL_TABLE),
      linksDirectory(path, () => virtualPaths(device)),
    ];
  }
  if (device instanceof PciFunction) {
    return [tableDirectory(device, path, FUNCTION_TABLE)];
  }
  if (device instanceof BusDevice) {
    return [tableDirectory(device, path, BUS_DEVICE_TABLE)];
  }
  return device instanceof MediatedDevice
    ? [tableDirectory(device, path, MEDIATED_TABLE)]
    : [tableDirectory(device, path, DEVICE_TABLE)];
}
