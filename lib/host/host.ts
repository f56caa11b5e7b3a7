/**
 * The host as sysfs describes it.
 *
 * @module
 */

import "./preload.ts";
import { shortJson } from "../printable.ts";
import { VfioError } from "../errors.ts";
import { systemOf } from "../kernel/intercept.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { localKernel } from "../kernel/local.ts";
import { type DeviceHost, HostDevice, IommuGroup } from "./device.ts";
import type { TakeOptions } from "./take/take.ts";
import type { TakenDevice } from "./take/taken.ts";
import { basename, resolve } from "./path.ts";
import {
  comparePciAddresses,
  formatPciAddress,
  parsePciAddress,
} from "../pci/address.ts";
import { PciFunction } from "./pci/function.ts";
import type { Recording } from "./snapshot/recording.ts";
import { exists, linkTarget, namesIn, realPath } from "./sysfs.ts";

const PCI_DEVICES = "/sys/bus/pci/devices";
const IOMMU_GROUPS = "/sys/kernel/iommu_groups";

/** What a {@linkcode Host} is made with. */
export interface HostOptions {
  /** The system that is asked. Default: the one this process runs on. */
  readonly kernel?: Kernel;
}

/**
 * A host: its devices, their drivers and IOMMU groups. It reads sysfs when it
 * is asked, keeps nothing, and needs no privilege but for changing something.
 *
 * What takes a device, and what records the host, is loaded when it is asked
 * for: a script that only looks starts without it.
 *
 * @example List what is there
 * ```ts
 * import { Host } from "@passthru/vfio";
 *
 * for (const fn of new Host().functions()) {
 *   console.log(fn.address, fn.driver, fn.iommuGroup?.id);
 * }
 * ```
 */
export class Host implements DeviceHost {
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
        hint: "lspci -D lists the present ones",
      });
    }
    return found;
  }

  /**
   * The device that a target names.
   *
   * @param target A PCI address; the path in sysfs of a device on any bus, or
   * of a link to one, such as `/sys/bus/mdev/devices/…`; or a device.
   * @throws {TypeError} When it is none of these, a path outside sysfs, or a
   * device of another host.
   * @throws {VfioError} `DEVICE_NOT_FOUND` when there is no such device.
   */
  find(target: string | HostDevice): HostDevice {
    if (target instanceof HostDevice) {
      if (target.host === this) return target;
      if (systemOf(target.host.kernel) !== systemOf(this.kernel)) {
        throw new TypeError(`Cannot use ${target.name} of another host`);
      }
      return this.find(target.path);
    }
    if (typeof target !== "string" || !target.startsWith("/")) {
      return this.function(target);
    }
    const path = realPath(this.kernel, target);
    if (!(path ?? resolve(target)).startsWith("/sys/")) {
      throw new TypeError(
        `Cannot find a device at ${shortJson(target)}: ` +
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
        `Cannot parse IOMMU group ${shortJson(id)}: expected a number`,
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

  /**
   * Takes a device from its driver and binds it to a VFIO driver: a PCI
   * function, or a device on another bus, such as a platform device. When it
   * returns, the device is bound and its nodes can be opened; when it fails,
   * the device is with the driver that had it. One that the host lives on is
   * refused unless that is insisted on.
   *
   * A journal in `/run/passthru` has how the device was bound, before that
   * changes. When this process ends without giving it back, or is killed,
   * `passthru restore`, or `restore()` of `@passthru/vfio/provision`, does. It
   * leaves the device alone as long as this process runs. Where the wanted
   * driver has the device already, nothing is changed and recorded, which needs
   * no rights.
   *
   * @param target What {@linkcode Host.find} takes.
   * @param options The driver, the time limit, a signal, and whether to insist.
   * @returns What gives it back.
   * @throws {TypeError} When it is a mediated device, VFIO has no driver for
   * its bus and none is named, or the driver's name is none.
   * @throws {VfioError} `DEVICE_NOT_FOUND`, `NO_IOMMU_GROUP`, `DRIVER_FAILED`,
   * `WRONG_DRIVER` when somebody else binds it meanwhile, `DEVICE_BUSY` when a
   * process has it open through VFIO, or its group, `HOST_IN_USE` when the host
   * uses it, `LOCKED` when another process is changing the host,
   * `PERMISSION_DENIED` when this user may not write the journal or the
   * driver's attributes, `KERNEL`, or `TIMED_OUT`.
   *
   * @example
   * ```ts
   * import { Host } from "@passthru/vfio";
   *
   * await using taken = await new Host().take("0000:01:00.0");
   * console.log(`${taken.device.name} was with ${taken.previousDriver}`);
   * // It goes back at the end of the block.
   * ```
   */
  async take(
    target: string | HostDevice,
    options: TakeOptions = {},
  ): Promise<TakenDevice> {
    const device = this.find(target);
    const { take } = await import("./take/take.ts");
    return await take(device, options);
  }

  /**
   * Records this host, to simulate it elsewhere: its functions, groups, drivers
   * and what its kernel can do. As root it tells also how many interrupts each
   * function has. No serial number, MAC address or host name is in it.
   *
   * @returns What `simulate()` takes, now or read from JSON.
   *
   * @example
   * ```ts
   * import { Host } from "@passthru/vfio";
   * import { simulate } from "@passthru/vfio/sim";
   *
   * const recording = JSON.stringify(await new Host().snapshot());
   * const host = simulate(JSON.parse(recording));
   * console.log(host.functions().length === new Host().functions().length);
   * ```
   */
  async snapshot(): Promise<Recording> {
    const { record } = await import("./snapshot/snapshot.ts");
    return record(this.kernel, this.functions());
  }

  #functionAt(address: string): PciFunction | undefined {
    const path = linkTarget(this.kernel, `${PCI_DEVICES}/${address}`);
    return path === undefined ? undefined : new PciFunction(this, path, "pci");
  }
}
