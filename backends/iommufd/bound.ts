/**
 * Descriptors that were passed in and that this process has bound. There is no
 * call to undo that, and none that tells a device's id: they stay bound while
 * the caller has them open.
 *
 * @module
 */

import { VfioError } from "../../lib/errors.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import { systemOf } from "../../lib/kernel/intercept.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import {
  VFIO_DEVICE_GET_INFO,
  vfio_device_info,
} from "../../lib/uapi/vfio/device.ts";
import type { AttachTarget } from "../backend.ts";
import { nodeName } from "../explain.ts";

/** The ids of devices, by system, device and descriptors. */
const IDS = new WeakMap<Kernel, Map<string, number>>();

/** Remembers a device's id, if its descriptor was passed in. */
export function remember(target: AttachTarget, deviceId: number): void {
  if (typeof target.nodes.cdev === "string") return;
  const system = systemOf(target.device.host.kernel);
  let ids = IDS.get(system);
  if (ids === undefined) IDS.set(system, ids = new Map());
  ids.set(keyOf(target), deviceId);
}

/** The id of a device that this process has bound by the same descriptors. */
export function recall(target: AttachTarget): number | undefined {
  return IDS.get(systemOf(target.device.host.kernel))?.get(keyOf(target));
}

function keyOf({ device, nodes }: AttachTarget): string {
  return `${device.path} ${nodes.cdev} ${nodes.iommufd}`;
}

/**
 * The error for a descriptor that somebody else has bound.
 *
 * @returns The error, or `undefined` where it is not bound.
 */
export function boundElsewhere(
  { device, nodes }: AttachTarget,
  fd: Fd,
  cause: unknown,
): VfioError | undefined {
  if (typeof nodes.cdev !== "number" || !isBound(fd)) return undefined;
  return new VfioError("DEVICE_BUSY", {
    device: device.name,
    problem: `${nodeName(nodes.cdev)} is bound to an iommufd already`,
    hint: "pass that iommufd, and the id that the device got there: " +
      "{ fd, iommufd, deviceId }",
    cause,
  });
}

/** An unbound device answers nothing but VFIO_DEVICE_BIND_IOMMUFD. */
function isBound(fd: Fd): boolean {
  try {
    fd.ioctl(VFIO_DEVICE_GET_INFO, vfio_device_info.alloc());
    return true;
  } catch {
    return false;
  }
}

/** The error for a descriptor that was said to be bound, and is not. */
export function notBound(
  { device, nodes }: AttachTarget,
  cause: unknown,
): VfioError {
  return new VfioError("KERNEL", {
    device: device.name,
    problem: `the kernel attaches ${nodeName(nodes.cdev!)} to nothing, as if ` +
      "it were not bound",
    hint: "leave deviceId out, unless somebody has bound the descriptor",
    cause,
  });
}

/** The error for a device with another iommufd than its address space's. */
export function otherIommufd({ device, nodes }: AttachTarget): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem: `the address space lives in another iommufd than ${
      nodeName(nodes.iommufd!)
    }`,
    hint: "pass the same descriptor for all devices of an address space, or " +
      "attach it to a space of its own",
  });
}

/** The error for a virtual machine that is told too late. */
export function boundBefore({ device, nodes }: AttachTarget): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem:
      `${nodeName(nodes.cdev!)} was bound before, when the kernel asks ` +
      "which virtual machine has it",
    hint: "pass a descriptor that is not bound, or leave kvm out",
  });
}
