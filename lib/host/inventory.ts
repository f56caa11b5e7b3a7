/**
 * What sysfs says of a host, without what changes it.
 *
 * @module
 */

import { VfioError } from "../errors.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { localKernel } from "../kernel/local.ts";
import { type DeviceHost, HostDevice, IommuGroup } from "./device.ts";
import { basename, resolve } from "./path.ts";
import {
  comparePciAddresses,
  formatPciAddress,
  parsePciAddress,
} from "../pci/address.ts";
import { PciFunction } from "./pci/function.ts";
import { exists, linkTarget, namesIn, realPath } from "./sysfs.ts";

const PCI_DEVICES = "/sys/bus/pci/devices";
const IOMMU_GROUPS = "/sys/kernel/iommu_groups";

/** What a {@linkcode Host} is made with. */
export interface HostOptions {
  /** The system that is asked. Default: the one this process runs on. */
  readonly kernel?: Kernel;
}

/**
 * The devices of a host, their drivers and IOMMU groups, to look at. It reads
 * sysfs when it is asked, keeps nothing, and needs no privilege.
 *
 * It is a module of its own because a command that only lists starts in half
 * the time without what {@linkcode Host} loads besides.
 */
export class Inventory implements DeviceHost {
  /** The system that is asked. */
  readonly kernel: Kernel;

  /**
   * Asks nothing yet.
   *
   * @param options The system that is asked.
   */
  constructor(options: HostOptions = {}) {
    this.kernel = options.kernel ?? localKernel();
  }

  /**
   * All PCI functions, by address. What they are is read when it is asked for,
   * so that a thousand of them cost little.
   */
  functions(): PciFunction[] {
    return namesIn(this.kernel, PCI_DEVICES)
      .sort(comparePciAddresses)
      .flatMap((address) => this.#functionAt(address) ?? []);
  }

  /**
   * The PCI function at an address.
   *
   * @param address `0000:01:00.0`, or `01:00.0` in domain 0.
   * @throws {TypeError} When that is no PCI address.
   * @throws {VfioError} `DEVICE_NOT_FOUND` when there is no such function.
   */
  function(address: string): PciFunction {
    const name = formatPciAddress(parsePciAddress(address));
    const found = this.#functionAt(name);
    if (found === undefined) {
      throw new VfioError("DEVICE_NOT_FOUND", {
        device: name,
        problem: "there is no PCI function at this address",
        hint: "lspci -D lists those that there are",
      });
    }
    return found;
  }

  /**
   * The device that a target names.
   *
   * @param target A PCI address; the path in sysfs of a device on any bus, or
   * of a link to one, such as `/sys/bus/mdev/devices/…`; or a device.
   * @throws {TypeError} When it is none of these, or a path outside sysfs.
   * @throws {VfioError} `DEVICE_NOT_FOUND` when there is no such device.
   */
  find(target: string | HostDevice): HostDevice {
    if (target instanceof HostDevice) {
      return target.host === this ? target : this.find(target.path);
    }
    if (typeof target !== "string" || !target.startsWith("/")) {
      return this.function(target);
    }
    const path = realPath(this.kernel, target);
    if (!(path ?? resolve(target)).startsWith("/sys/")) {
      throw new TypeError(
        `Cannot find a device at ${JSON.stringify(target)}: ` +
          "expected a path below /sys",
      );
    }
    const device = path === undefined ? undefined : this.deviceAt(path);
    if (device === undefined) {
      throw new VfioError("DEVICE_NOT_FOUND", {
        device: basename(target),
        problem: path === undefined
          ? `there is no ${target}`
          : `${path} is no device on a bus`,
        hint: path !== undefined && exists(this.kernel, `${path}/device`)
          ? `its device is ${realPath(this.kernel, `${path}/device`)}`
          : "look below /sys/bus/*/devices",
      });
    }
    return device;
  }

  /**
   * The device at a real path in sysfs.
   *
   * @param path A path below `/sys/devices` without a link in it.
   * @returns The device, or `undefined` where none is, or none on a bus.
   */
  deviceAt(path: string): HostDevice | undefined {
    const subsystem = linkTarget(this.kernel, `${path}/subsystem`);
    if (subsystem === undefined || !subsystem.startsWith("/sys/bus/")) {
      return undefined;
    }
    const bus = basename(subsystem);
    return bus === "pci"
      ? new PciFunction(this, path, bus)
      : new HostDevice(this, path, bus);
  }

  /** All IOMMU groups, by number. */
  groups(): IommuGroup[] {
    return namesIn(this.kernel, IOMMU_GROUPS)
      .sort((a, b) => Number(a) - Number(b))
      .map((id) => new IommuGroup(this, id));
  }

  /**
   * An IOMMU group.
   *
   * @param id Its number.
   * @throws {TypeError} When that is no number.
   * @throws {VfioError} `DEVICE_NOT_FOUND` when there is no such group.
   */
  group(id: string | number): IommuGroup {
    if (!/^\d+$/.test(String(id))) {
      throw new TypeError(
        `Cannot parse IOMMU group ${JSON.stringify(id)}: expected a number`,
      );
    }
    const group = new IommuGroup(this, String(Number(id)));
    if (!exists(this.kernel, group.path)) {
      throw new VfioError("DEVICE_NOT_FOUND", {
        problem: `there is no IOMMU group ${id}`,
        hint: "group numbers can change from boot to boot: " +
          "ask the device for its group",
      });
    }
    return group;
  }

  #functionAt(address: string): PciFunction | undefined {
    const path = linkTarget(this.kernel, `${PCI_DEVICES}/${address}`);
    return path === undefined ? undefined : new PciFunction(this, path, "pci");
  }
}
