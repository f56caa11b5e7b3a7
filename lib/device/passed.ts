/**
 * Devices by descriptors that another process has opened.
 *
 * @module
 */

import type { PassedNodes } from "../../backends/backend.ts";
import { toVfioError, VfioError } from "../errors.ts";
import { HostDevice } from "../host/device.ts";
import type { Host } from "../host/host.ts";
import { vfioNodes } from "../host/iommu/nodes.ts";
import { basename } from "../host/path.ts";
import { ifPresent, namesIn, realPath } from "../host/sysfs.ts";
import { hasErrno } from "../kernel/errno.ts";
import type { FileStatus, Kernel } from "../kernel/kernel.ts";
import { F_GETFL, O_ACCMODE, O_RDWR } from "../uapi/linux/fcntl.ts";
import { S_IFCHR, S_IFMT } from "../uapi/linux/statx.ts";

/**
 * A device by descriptors of its own node and of an iommufd, which a process
 * with more rights has opened. They stay open, and the caller's.
 */
export interface PassedDevice {
  /** A descriptor of its own node, `/dev/vfio/devices/vfioN`. */
  readonly fd: number;
  /**
   * A descriptor of an iommufd, `/dev/iommu`: the same one for all devices of an
   * address space.
   */
  readonly iommufd: number;
  /**
   * Its id in the iommufd, where it is bound to that already. Nobody but who
   * has bound it knows it: {@linkcode VfioDevice.deviceId}.
   */
  readonly deviceId?: number;
}

/**
 * A device by a descriptor of its IOMMU group, for kernels without iommufd. The
 * descriptor stays open, and the caller's.
 */
export interface PassedGroup {
  /** A descriptor of its group's node, `/dev/vfio/N`, in no container. */
  readonly group: number;
  /** Which device of the group: an address, a path in sysfs, or a device. */
  readonly device: string | HostDevice;
}

/** What a device can be had by. */
export type PassedTarget = PassedDevice | PassedGroup;

/** A device, and the descriptors through which it is had, if it is so. */
export interface Target {
  /** The device. */
  readonly device: HostDevice;
  /** The descriptors. */
  readonly passed?: PassedNodes;
}

/**
 * Finds what is to be attached. It checks that descriptors are what they are
 * called: sysfs knows the numbers of the nodes.
 *
 * @param host The host whose device it is.
 * @param target What {@linkcode Host.find} takes, or descriptors.
 * @throws {TypeError} If a descriptor is of another file, or not open for
 * reading and writing; and what {@linkcode Host.find} throws.
 * @throws {VfioError} `DEVICE_NOT_FOUND` if its device is gone,
 * `BACKEND_UNAVAILABLE` if sysfs shows no node of its group, `KERNEL`.
 */
export function findTarget(
  host: Host,
  target: string | HostDevice | PassedTarget,
): Target {
  const isPassed = typeof target === "object" && target !== null &&
    !(target instanceof HostDevice);
  if (!isPassed) return { device: host.find(target) };
  try {
    return "group" in target ? byGroup(host, target) : byOwnNode(host, target);
  } catch (error) {
    throw toVfioError(error, "find the device of the descriptors");
  }
}

function byGroup(host: Host, { group, device }: PassedGroup): Target {
  const found = host.find(device);
  const { group: node } = vfioNodes(found);
  const what = `the group of ${found.name}`;
  if (node === undefined) {
    throw new VfioError("BACKEND_UNAVAILABLE", {
      device: found.name,
      problem: "its IOMMU group has no node, so no descriptor can be of it",
      hint: "bind the device to a VFIO driver: host.take()",
    });
  }
  assertIs(host.kernel, group, `/sys/class/vfio/${basename(node)}`, what);
  return { device: found, passed: { group } };
}

function byOwnNode(
  host: Host,
  { fd, iommufd, deviceId }: PassedDevice,
): Target {
  const { kernel } = host;
  if (deviceId !== undefined && !(Number.isInteger(deviceId) && deviceId > 0)) {
    throw new TypeError(
      `Cannot use device id ${deviceId}: expected a positive whole number`,
    );
  }
  const { device: number } = characterDevice(kernel, fd, "a VFIO device");
  const names = "/sys/class/vfio-dev";
  const name = namesIn(kernel, names)
    .find((name) => numberOf(kernel, `${names}/${name}`) === number);
  const path = name && realPath(kernel, `${names}/${name}/device`);
  const device = path ? host.deviceAt(path) : undefined;
  if (device === undefined) {
    throw new VfioError("DEVICE_NOT_FOUND", {
      problem:
        `descriptor ${fd} is of device number ${number}, which no VFIO ` +
        "device has",
      hint: "pass a descriptor of /dev/vfio/devices/vfioN whose device is " +
        "still bound to its driver",
    });
  }
  assertIs(kernel, iommufd, "/sys/class/misc/iommu", "an iommufd");
  return { device, passed: { cdev: fd, iommufd, deviceId } };
}

/** Throws unless a descriptor is of the node that sysfs shows at a path. */
function assertIs(
  kernel: Kernel,
  fd: number,
  path: string,
  what: string,
): void {
  const { device } = characterDevice(kernel, fd, what);
  const number = numberOf(kernel, path);
  if (device === number) return;
  if (number === undefined) {
    throw new VfioError("BACKEND_UNAVAILABLE", {
      problem: `sysfs has no ${path}/dev, by which ${what} is known`,
      hint: "make sysfs visible in this mount namespace",
    });
  }
  throw new TypeError(
    `Cannot use descriptor ${fd} as ${what}: it is of device number ` +
      `${device}, not of ${number}`,
  );
}

function characterDevice(
  kernel: Kernel,
  fd: number,
  what: string,
): FileStatus {
  const wrong = (reason: string) =>
    new TypeError(`Cannot use descriptor ${fd} as ${what}: ${reason}`);
  if (!Number.isInteger(fd) || fd < 0) throw wrong("expected a number");
  try {
    const status = kernel.fstat(fd);
    if ((status.mode & S_IFMT) !== S_IFCHR) throw wrong("it is no device node");
    if ((kernel.fcntl(fd, F_GETFL) & O_ACCMODE) !== O_RDWR) {
      throw wrong("it is not open for reading and writing");
    }
    return status;
  } catch (error) {
    throw hasErrno(error, "EBADF") ? wrong("it is not open") : error;
  }
}

/** The device number that sysfs shows. */
function numberOf(kernel: Kernel, path: string): string | undefined {
  const text = ifPresent(() => kernel.readFile(`${path}/dev`))?.trimEnd();
  return /^\d+:\d+$/.test(text ?? "") ? text : undefined;
}
