import {
  type Device,
  type Driver,
  Group,
  type GroupKind,
  type LoadedModule,
} from "../driver/bus.ts";
import { DeviceTable } from "../driver/device_table.ts";
import type { Directory, Ownership, Process } from "../fs/file.ts";
import { HugePages } from "../process/huge_pages.ts";
import type { Iommu } from "../iommu/iommu.ts";
import type { ProcessOptions, System } from "../process/calls/process.ts";
import { SimKernel } from "../process/kernel.ts";
import { PhysicalMemory } from "../process/physical.ts";
import { Numbers } from "./numbers.ts";
import { resolve } from "../fs/path.ts";
import type { Unknown } from "../posted/unknown.ts";
import type { Topology } from "./topology.ts";
import { Refusal, refuse } from "../process/refusal.ts";

/** The configuration and the parameters of the simulated kernel. */
export interface KernelFeatures {
  /** The release, as `uname -r` prints it. */
  readonly release: string;
  /** CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV. */
  readonly iommufd: boolean;
  /** The kernel's command line. */
  readonly commandLine: string;
  /** How the IOMMU translates for the kernel: `"DMA-FQ"`. */
  readonly translation: string;
  /** `vfio.enable_unsafe_noiommu_mode`. */
  noIommu: boolean;
  /** Not `vfio_pci.disable_denylist`. */
  readonly denylist: boolean;
  /** `vfio_iommu_type1.dma_entry_limit`. */
  mappingLimit: number;
  /** `vfio_pci.enable_sriov`. */
  enableSriov: boolean;
  /** The modules with `allow_unsafe_interrupts`. */
  readonly unsafeInterrupts: Set<string>;
}

/** Returns the version of a release: 6 and 12 for `"6.12.90-1-amd64"`. */
export function versionOf(release: string): [major: number, minor: number] {
  const [major = 0, minor = 0] = release.split(".").map(parseFloat);
  return [major, minor];
}

/** DMA that the IOMMU blocked. */
export interface DmaFault {
  /** The device that did it. */
  readonly device: string;
  /** The IOVA. */
  readonly iova: bigint;
}

/**
 * A simulated machine: its devices, its drivers, its processes. It holds the
 * state. The simulated subsystems change it, and sysfs, procfs and the device
 * nodes show it.
 */
export class Machine implements System {
  /** The features of its kernel. */
  readonly features: KernelFeatures;
  /** Its IOMMU, if it has one that is enabled. */
  readonly iommu: Iommu | undefined;
  /** Its devices. */
  readonly devices = new DeviceTable();
  /** Its IOMMU groups, by number. */
  readonly groups = new Map<string, Group>();
  /** Its drivers, by bus and name: `"pci/vfio-pci"`. */
  readonly drivers = new Map<string, Driver>();
  /** The modules that were loaded later, by name. */
  readonly modules = new Map<string, LoadedModule>();
  /** Told what happens to devices: `"bind@/devices/pci0000:00/…"`. */
  readonly listeners = new Set<(event: string) => void>();
  /** Its processes, by id. */
  readonly processes = new Map<number, SimKernel>();
  /** Its pool of huge pages. */
  readonly hugePages = new HugePages();
  /** Where the memory of its processes is. */
  readonly physical = new PhysicalMemory();
  /** Bytes that iommufd has pinned, by user. */
  readonly pinnedByUser = new Map<number, number>();
  /** The numbers of its IOMMU groups. */
  readonly groupNumbers = new Numbers();
  /** The minor numbers of its groups' nodes. */
  readonly groupMinors = new Numbers();
  /** The numbers of its VFIO devices. */
  readonly vfioNumbers = new Numbers();
  /** The devices that VFIO has, by the names of their nodes: `"vfio0"`. */
  readonly vfioDevices = new Map<string, Device>();
  /** The DMA that the IOMMU blocked, in order. */
  readonly faults: DmaFault[] = [];
  /** The root directory; set while the machine is built. */
  root!: Directory;
  /** What the topology that it was made of does not tell. */
  unknown: readonly Unknown[] = [];
  /** Makes its topology as it is; set while the machine is built. */
  topology!: () => Topology;
  /** Runs a program; set while the machine is built. */
  run!: System["run"];
  /** Makes a socket; set while the machine is built. */
  socket!: System["socket"];
  readonly #version: readonly [major: number, minor: number];
  /** Its first process, which is root's. */
  readonly init: SimKernel;
  /** The id of the next process. */
  nextPid = 1;

  /**
   * Makes a machine without devices.
   *
   * @param features The features of its kernel.
   * @param iommu Its IOMMU.
   */
  constructor(features: KernelFeatures, iommu: Iommu | undefined) {
    this.features = features;
    this.#version = versionOf(features.release);
    this.iommu = iommu;
    this.init = this.spawn({ name: "init" });
    this.nextPid = 1000;
  }

  /** Whether its kernel is of this version or newer. */
  since(major: number, minor: number): boolean {
    const [a, b] = this.#version;
    return a > major || (a === major && b >= minor);
  }

  /**
   * Whether the DMA of a group is blocked between claiming and attaching it.
   */
  get blocksClaimed(): boolean {
    return this.since(6, 6);
  }

  /**
   * Refuses a group that the firmware keeps memory mapped for with EPERM, as
   * Intel's IOMMU driver did before all of them did
   * (`intel_iommu_attach_device()`).
   */
  assertAttachable({ pinned }: Group): void {
    if (pinned && this.iommu?.kind === "dmar") refuse("EPERM");
  }

  /**
   * Whether the interrupts of devices are told apart
   * (`iommu_group_has_isolated_msi()`).
   */
  get remapsInterrupts(): boolean {
    const off = /(?:^|\s)(?:nointremap|intremap=off)(?:\s|$)/
      .test(this.features.commandLine);
    return this.iommu?.remaps === true && !off;
  }

  /**
   * Refuses devices with EPERM where their interrupts are not told apart, unless
   * the module that is to have them trusts them.
   *
   * @param module `"iommufd"` or `"vfio_iommu_type1"`.
   */
  assertTrusted(module: string): void {
    const { unsafeInterrupts } = this.features;
    if (!this.remapsInterrupts && !unsafeInterrupts.has(module)) {
      refuse("EPERM");
    }
  }

  /** Whether a VFIO driver is loaded, and with it VFIO itself. */
  get hasVfio(): boolean {
    return [...this.drivers.values()].some(({ dma }) => dma === "user");
  }

  /** Starts a process. */
  spawn(options: ProcessOptions = {}): SimKernel {
    const process = new SimKernel(this, this.nextPid++, options);
    this.processes.set(process.pid, process);
    return process;
  }

  /**
   * Tells those who listen what has happened to a device (`kobject_uevent()`).
   *
   * @param action `"add"`, `"remove"`, `"bind"` or `"unbind"`.
   * @param path The device's path in sysfs.
   */
  announce(action: string, path: string): void {
    const event = `${action}@${path.replace(/^\/sys/, "")}`;
    for (const listener of this.listeners) listener(event);
  }

  /** Forgets a process that has ended. */
  reap(process: Process): void {
    this.processes.delete(process.pid);
  }

  /**
   * Changes the owner and mode of a file, as chown and chmod do. The change
   * lasts as long as the file exists.
   *
   * @param path A device node, or an attribute.
   * @param to The new owner or mode.
   */
  setOwnership(path: string, to: Ownership): void {
    this.init.stat(path);
    const node = resolve(this.root, path, this.init);
    if (node instanceof Refusal || node.change === undefined) {
      throw new TypeError(`Cannot change the owner or the mode of ${path}`);
    }
    node.change(to);
  }

  /**
   * Has a function report an uncorrectable error.
   *
   * @param address Its PCI address.
   */
  reportError(address: string): void {
    const fn = this.devices.on("pci").get(address);
    if (fn === undefined) throw new TypeError(`There is no ${address}`);
    fn.core.interrupts.reportError();
  }

  /** Makes a group with the lowest free number. */
  newGroup(kind: GroupKind): Group {
    return new Group(String(this.groupNumbers.take()), kind);
  }

  /** Puts a device into a group. */
  join(device: Device, group: Group): void {
    this.groupNumbers.reserve(Number(group.id));
    this.groups.set(group.id, group);
    group.devices.add(device);
    device.group = group;
  }

  /** Takes a device out of its group. A group without devices is removed. */
  leaveGroup(device: Device): void {
    const { group } = device;
    if (group === undefined) return;
    group.devices.delete(device);
    device.group = undefined;
    if (group.devices.size > 0) return;
    this.groups.delete(group.id);
    this.groupNumbers.give(Number(group.id));
  }
}
