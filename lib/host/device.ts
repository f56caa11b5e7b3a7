/**
 * Devices and IOMMU groups, as sysfs has them.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import { insteadOfMade, madeBy, makerOf } from "./pci/topology/made_domain.ts";
import { basename } from "./path.ts";
import { ifPresent, linkName, linkTarget, namesIn } from "./sysfs.ts";
import { isEndpointClass } from "./pci/endpoint.ts";
import {
  standsInTheWay,
  takeTarget,
  vfioDriverOf,
} from "./driver/vfio_driver.ts";

/** The host, as a device needs it. */
export interface DeviceHost {
  /** The system that is asked. */
  readonly kernel: Kernel;
  /**
   * The device at a real path in sysfs, `/sys/devices/…`, or `undefined` where
   * there is none.
   */
  deviceAt(path: string): HostDevice | undefined;
}

/**
 * A device of this host, on any bus.
 *
 * It keeps nothing: what can change is read from sysfs at each access.
 * {@linkcode Host.find} makes it.
 */
export class HostDevice {
  /** The host it is on. */
  readonly host: DeviceHost;
  /** Its real path in sysfs, `/sys/devices/…`. */
  readonly path: string;
  /** The last part of its path; for a PCI function its address. */
  readonly name: string;
  /** The bus it is on: `"pci"`, `"mdev"`, `"platform"` and so on. */
  readonly bus: string;

  /**
   * Made by {@linkcode DeviceHost.deviceAt}.
   *
   * @param host The host it is on.
   * @param path Its real path in sysfs.
   * @param bus The bus it is on.
   */
  constructor(host: DeviceHost, path: string, bus: string) {
    this.host = host;
    this.path = path;
    this.name = basename(path);
    this.bus = bus;
  }

  /** The name of the driver it is bound to. Read each time. */
  get driver(): string | undefined {
    return linkName(this.host.kernel, `${this.path}/driver`);
  }

  /**
   * The IOMMU group that it belongs to; without one no IOMMU isolates it, and
   * `explainNoGroup` says why. Read each time.
   */
  get iommuGroup(): IommuGroup | undefined {
    const id = linkName(this.host.kernel, `${this.path}/iommu_group`);
    return id === undefined ? undefined : new IommuGroup(this.host, id);
  }

  /**
   * The name of its VFIO device, such as `"vfio0"`, while it is bound to a VFIO
   * driver on Linux 6.1 or later. Its node is in `/dev/vfio/devices` where the
   * kernel has such nodes. Read each time.
   */
  get vfioDevice(): string | undefined {
    return namesIn(this.host.kernel, `${this.path}/vfio-dev`)[0];
  }
}

/** A device that keeps its IOMMU group from user space. */
export interface Obstacle {
  /** The device in the way. */
  readonly device: HostDevice;
  /** The driver that it is bound to. */
  readonly driver: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** IOVAs that the firmware or the IOMMU uses. */
export interface ReservedRegion {
  /** The first. */
  readonly start: bigint;
  /** The last. */
  readonly last: bigint;
  /**
   * What they are: `"direct"` is memory that the firmware keeps mapped for a
   * device of the group, which then cannot be handed out; `"direct-relaxable"`
   * is such memory that does not matter once the device is handed out; `"msi"`
   * is where interrupt messages go; `"reserved"`.
   */
  readonly type: string;
}

/** Whether an IOMMU group can be used, and if not, why. */
export type Viability =
  | { readonly viable: true }
  | { readonly viable: false; readonly obstacles: readonly Obstacle[] };

/**
 * An IOMMU group: the devices that the IOMMU cannot tell apart, which therefore
 * are handed to user space together or not at all.
 */
export class IommuGroup {
  /** The host it is on. */
  readonly host: DeviceHost;
  /** Its number, which can change from boot to boot. */
  readonly id: string;

  /**
   * A group, which may not exist.
   *
   * @param host The host it is on.
   * @param id Its number.
   */
  constructor(host: DeviceHost, id: string) {
    this.host = host;
    this.id = id;
  }

  /** Its directory in sysfs. */
  get path(): string {
    return `/sys/kernel/iommu_groups/${this.id}`;
  }

  /** Its members. Read each time. */
  get devices(): HostDevice[] {
    const { kernel } = this.host;
    const devices = `${this.path}/devices`;
    return namesIn(kernel, devices).flatMap((name) => {
      const path = linkTarget(kernel, `${devices}/${name}`);
      const device = path === undefined ? undefined : this.host.deviceAt(path);
      return device === undefined ? [] : [device];
    });
  }

  /**
   * The name that a driver gave it: VFIO names those that it makes itself, for
   * mediated devices and where no IOMMU is, `"vfio-noiommu"`.
   */
  get name(): string | undefined {
    const { kernel } = this.host;
    return ifPresent(() => kernel.readFile(`${this.path}/name`))?.trimEnd();
  }

  /**
   * How the kernel translates for it while no user has it: `"DMA"`, `"DMA-FQ"`
   * or `"identity"`. Read each time.
   */
  get type(): string | undefined {
    const { kernel } = this.host;
    return ifPresent(() => kernel.readFile(`${this.path}/type`))?.trimEnd();
  }

  /** The IOVAs that the firmware or the IOMMU uses, ascending. */
  get reservedRegions(): ReservedRegion[] {
    const { kernel } = this.host;
    const path = `${this.path}/reserved_regions`;
    const text = ifPresent(() => kernel.readFile(path)) ?? "";
    return text.split("\n").flatMap((line) => {
      const [start, last, type] = line.split(" ");
      return type === undefined
        ? []
        : [{ start: BigInt(start!), last: BigInt(last!), type }];
    });
  }

  /**
   * Whether user space could have it now: no member may be bound to a driver
   * that uses the IOMMU for the kernel. A member without a driver, and one that
   * is bound to a VFIO driver, to `pci-stub` or to `pcieport`, is no obstacle.
   *
   * @returns Viable, or not viable with every obstacle and its remedy.
   *
   * @example What keeps a function's group from being used
   * ```ts
   * import { Host } from "@passthru/vfio";
   *
   * const viability = new Host().function("01:00.0").iommuGroup?.viability();
   * if (viability?.viable === false) {
   *   for (const { remedy } of viability.obstacles) console.log(remedy);
   * }
   * ```
   */
  viability(): Viability {
    const obstacles = this.devices.flatMap((device) => {
      const { driver } = device;
      if (driver === undefined || !standsInTheWay(device)) return [];
      return [{ device, driver, remedy: remedyFor(device, driver) }];
    });
    return obstacles.length === 0
      ? { viable: true }
      : { viable: false, obstacles };
  }
}

function remedyFor(device: HostDevice, driver: string): string {
  const { name, bus, path, host: { kernel } } = device;
  const maker = makerOf(device) ?? (madeBy(device).length > 0 && device);
  if (maker) return insteadOfMade(maker);
  const code = bus === "pci"
    ? ifPresent(() => kernel.readFile(`${path}/class`))
    : undefined;
  const isEndpoint = code === undefined || isEndpointClass(Number(code));
  if (vfioDriverOf(bus) !== undefined && isEndpoint) {
    return `take ${name} from ${driver} as well: ` +
      `host.take("${takeTarget(device)}")`;
  }
  return `unbind ${name} from ${driver}: ` +
    `echo ${name} > /sys/bus/${bus}/drivers/${driver}/unbind`;
}
