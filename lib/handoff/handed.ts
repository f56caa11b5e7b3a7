/**
 * Devices that are handed over, as the formats need them.
 *
 * @module
 */

import { VfioError } from "../errors.ts";
import type { HostDevice } from "../host/device.ts";
import { isVfioDriver } from "../host/driver/vfio_driver.ts";
import { type VfioNodes, vfioNodes } from "../host/iommu/nodes.ts";
import { PciFunction } from "../host/pci/function.ts";
import { dirname } from "../host/path.ts";
import { ifPresent, linkName } from "../host/sysfs.ts";

/** A device, with what binding it to a driver decides. */
export interface Handed {
  /** The device. */
  readonly device: HostDevice;
  /** The driver that it is bound to. */
  readonly driver: string | undefined;
  /** Its VFIO nodes. */
  readonly nodes: VfioNodes;
}

/**
 * A device as it is now.
 *
 * @param device The device.
 */
export function handedNow(device: HostDevice): Handed {
  return { device, driver: device.driver, nodes: vfioNodes(device) };
}

/**
 * A device as it will be, on another driver. A node that the kernel numbers as
 * the driver binds has a number of its kind, not the number that it will have.
 *
 * @param device The device.
 * @param driver The driver.
 */
export function handedLater(
  device: HostDevice,
  driver: string | undefined,
): Handed {
  const { group, cdev } = vfioNodes(device);
  const id = device.iommuGroup?.id;
  return {
    device,
    driver,
    nodes: {
      group: group ?? (id === undefined ? undefined : `/dev/vfio/${id}`),
      cdev: cdev ?? "/dev/vfio/devices/vfio0",
    },
  };
}

/** The type of a mediated device. */
export interface MediatedType {
  /** The path of its parent in sysfs. */
  readonly parent: string;
  /** The type's name in sysfs: `"i915-GVTg_V5_4"`. */
  readonly type: string;
  /** The type's name for people; the name in sysfs where it has none. */
  readonly title: string;
  /** What it appears as: `"vfio-pci"`, `"vfio-ccw"`, `"vfio-ap"`. */
  readonly api: string;
}

/** The type of a mediated device. */
export function mediatedType({ path, host }: HostDevice): MediatedType {
  const read = (name: string) =>
    ifPresent(() => host.kernel.readFile(`${path}/mdev_type/${name}`))?.trim();
  const type = linkName(host.kernel, `${path}/mdev_type`) ?? "";
  return {
    parent: dirname(path),
    type,
    title: read("name") ?? type,
    api: read("device_api") ?? "vfio-pci",
  };
}

/**
 * Returns a PCI function.
 *
 * @param handed The device.
 * @param format Who would take it, for the error.
 * @throws {VfioError} `NOT_SUPPORTED` for another device.
 */
export function functionOf({ device }: Handed, format: string): PciFunction {
  if (device instanceof PciFunction) return device;
  throw cannotTake(device, format, "PCI functions");
}

/**
 * Whether it is a mediated device.
 *
 * @throws {VfioError} `NOT_SUPPORTED` when it is neither that nor a PCI function.
 */
export function isMediated({ device }: Handed, format: string): boolean {
  if (device.bus === "mdev") return true;
  if (device instanceof PciFunction) return false;
  throw cannotTake(device, format, "PCI functions and mediated devices");
}

function cannotTake(
  { name, bus }: HostDevice,
  format: string,
  expected: string,
): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: `it is on the ${bus} bus, and ${format} takes ${expected}`,
    hint: "leave it out",
  });
}

/**
 * Checks that a device is on a driver of VFIO's.
 *
 * @param handed The device.
 * @param format Who takes it, for the error.
 * @returns The driver's name; `"vfio-mdev"` for a mediated device.
 * @throws {VfioError} `WRONG_DRIVER`.
 */
export function assertVfioDriver(
  { device: { name, bus }, driver }: Handed,
  format: string,
): string {
  if (bus === "mdev") return "vfio-mdev";
  if (driver !== undefined && isVfioDriver(driver)) return driver;
  throw new VfioError("WRONG_DRIVER", {
    device: name,
    problem: `${format} takes devices that are bound to a VFIO driver, and ` +
      (driver === undefined ? "no driver has it" : `${driver} has it`),
    hint: `bind it first: host.take("${name}")`,
  });
}

/**
 * The nodes that somebody who uses devices opens, without the one that all
 * share.
 *
 * @param handed The device.
 * @param iommufd Whether it is opened by its own node.
 * @param format Who takes it, for the error.
 * @throws {VfioError} `WRONG_DRIVER` or `BACKEND_UNAVAILABLE` when it has none.
 */
export function nodeOf(
  handed: Handed,
  iommufd: boolean,
  format: string,
): string {
  assertVfioDriver(handed, format);
  const { device, nodes: { group, cdev } } = handed;
  const node = iommufd ? cdev : group;
  if (node !== undefined) return node;
  throw new VfioError("BACKEND_UNAVAILABLE", {
    device: device.name,
    problem: iommufd
      ? "it has no node in /dev/vfio/devices"
      : "its IOMMU group has no node in /dev/vfio",
    hint: iommufd
      ? "use its group: without iommufd"
      : "the kernel has iommufd only: use that",
  });
}
