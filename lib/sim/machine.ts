import { type Device, type Driver, Group } from "./bus.ts";
import type { Directory } from "./file.ts";
import { HugePages } from "./huge_pages.ts";
import type { Iommu } from "./iommu.ts";
import { type ProcessOptions, SimKernel } from "./kernel.ts";
import { refuse } from "./refusal.ts";
import { VfioDevice } from "./vfio_device.ts";

/** What the simulated kernel was built with, and what it was booted with. */
export interface KernelFeatures {
  /** What `uname -r` says. */
  readonly release: string;
  /** CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV. */
  readonly iommufd: boolean;
  /** `vfio.enable_unsafe_noiommu_mode`. */
  readonly noIommu: boolean;
  /** `vfio_iommu_type1.dma_entry_limit`. */
  readonly mappingLimit: number;
  /** The kernel's command line. */
  readonly commandLine: string;
}

/**
 * A simulated machine: its devices, its drivers, its processes. It holds the
 * state and the rules for changing it; sysfs, procfs and the device nodes are
 * views of it.
 */
export class Machine {
  /** What its kernel can do. */
  readonly features: KernelFeatures;
  /** Its IOMMU, where it has one that is switched on. */
  readonly iommu: Iommu | undefined;
  /** Its devices, by their path in sysfs. */
  readonly devices = new Map<string, Device>();
  /** Its IOMMU groups, by number. */
  readonly groups = new Map<string, Group>();
  /** Its drivers, by bus and name: `"pci/vfio-pci"`. */
  readonly drivers = new Map<string, Driver>();
  /** Its processes, by id. */
  readonly processes = new Map<number, SimKernel>();
  /** Its pool of huge pages. */
  readonly hugePages = new HugePages();
  /** Bytes that iommufd pins, by user: what its accounting counts. */
  readonly pinnedByUser = new Map<number, number>();
  /** What `/` is; set by whoever builds the machine. */
  root!: Directory;
  readonly #vfioNumbers = new Set<number>();
  #nextPid = 1000;

  /**
   * A machine without devices.
   *
   * @param features What its kernel can do.
   * @param iommu Its IOMMU.
   */
  constructor(features: KernelFeatures, iommu: Iommu | undefined) {
    this.features = features;
    this.iommu = iommu;
  }

  /** Whether its kernel is of this version or newer. */
  since(major: number, minor: number): boolean {
    const [a = 0, b = 0] = this.features.release.split(".").map(parseFloat);
    return a > major || (a === major && b >= minor);
  }

  /** Starts a process. */
  spawn(options: ProcessOptions = {}): SimKernel {
    const process = new SimKernel(this, this.#nextPid++, options);
    this.processes.set(process.pid, process);
    return process;
  }

  /** Forgets a process that has ended. */
  reap(process: SimKernel): void {
    this.processes.delete(process.pid);
  }

  /**
   * Binds a device to a driver, as the driver's `bind` does: EBUSY where it is
   * bound, ENODEV where the driver is not for it.
   */
  bind(device: Device, driver: Driver): void {
    if (device.driver !== undefined) refuse("EBUSY");
    if (!device.matches(driver)) refuse("ENODEV");
    this.#probe(device, driver);
  }

  /** Lets the drivers look at a device; whether one took it. */
  probe(device: Device): boolean {
    if (device.driver !== undefined) return true;
    for (const driver of this.drivers.values()) {
      if (!device.matches(driver)) continue;
      try {
        this.#probe(device, driver);
        return true;
      } catch {
        // The next one may take it.
      }
    }
    return false;
  }

  /**
   * Unbinds a device. From a VFIO driver it comes loose when the last of its
   * files is closed.
   */
  unbind(device: Device): void | Promise<void> {
    const { vfio } = device;
    const loosen = () => {
      device.driver = undefined;
      device.vfio = undefined;
      if (vfio !== undefined) this.#unregister(device, vfio);
    };
    if (vfio === undefined || !vfio.isOpen) return loosen();
    return vfio.requested().then(loosen);
  }

  /** Puts a device into a group. */
  addToGroup(device: Device, group: Group): void {
    this.groups.set(group.id, group);
    group.devices.add(device);
    device.group = group;
  }

  #freeGroup(): string {
    let id = 0;
    while (this.groups.has(String(id))) id++;
    return String(id);
  }

  #probe(device: Device, driver: Driver): void {
    if (driver.dma === "user") {
      if (device.isBridge) refuse("EINVAL");
      this.#register(device);
    } else if (driver.dma === "kernel" && device.group?.userOwned) {
      refuse("EBUSY");
    }
    device.driver = driver;
  }

  #register(device: Device): void {
    if (device.group === undefined) {
      if (!this.features.noIommu) refuse("EINVAL");
      this.addToGroup(device, new Group(this.#freeGroup(), true));
    }
    let number = 0;
    while (this.#vfioNumbers.has(number)) number++;
    this.#vfioNumbers.add(number);
    device.vfio = new VfioDevice(device, number);
  }

  #unregister(device: Device, vfio: VfioDevice): void {
    this.#vfioNumbers.delete(vfio.number);
    const { group } = device;
    if (group?.noIommu) {
      device.group = undefined;
      this.groups.delete(group.id);
    }
  }
}
