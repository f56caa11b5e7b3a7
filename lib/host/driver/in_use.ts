/**
 * Who uses a device, or its IOMMU group, through VFIO.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { nodePaths } from "../iommu/nodes.ts";
import type { HostDevice } from "../device.ts";
import { type Opener, openers, openersText } from "../openers.ts";
import { releasesOnRequest } from "../release_mark.ts";
import { linkName } from "../sysfs.ts";
import type { Deadline } from "./deadline.ts";

/** All nodes through which a device's group can be in use. */
export function groupNodes(device: HostDevice): string[] {
  const others = device.iommuGroup?.devices ?? [];
  return nodePaths([
    device,
    ...others.filter(({ path }) => path !== device.path),
  ]);
}

/**
 * Waits until nobody has a device's group open, but those who release the device
 * when the kernel asks for it. Where this process has, it does not wait.
 *
 * @param device The device.
 * @param deadline How long to wait.
 * @throws {VfioError} `DEVICE_BUSY`.
 */
export async function untilReleased(
  device: HostDevice,
  deadline: Deadline,
): Promise<void> {
  const { kernel } = device.host;
  const nodes = groupNodes(device);
  let holders: Opener[] = [];
  await deadline.until(() => {
    holders = openers(kernel, nodes);
    if (holdsOne(device, holders)) throw busyError(device, nodes, holders);
    // To unbind it is to ask for it.
    const areAsked = holders.every(({ pid }) =>
      releasesOnRequest(kernel, pid, device.name)
    );
    return areAsked ? true : undefined;
  }, () => busyError(device, nodes, holders));
}

/**
 * Waits until no other process has a device's group open: this one cannot use
 * the device before that.
 *
 * @param device The device.
 * @param deadline How long to wait.
 * @throws {VfioError} `DEVICE_BUSY`.
 */
export async function untilFreeForUs(
  device: HostDevice,
  deadline: Deadline,
): Promise<void> {
  const { kernel } = device.host;
  const nodes = groupNodes(device);
  let holders: Opener[] = [];
  await deadline.until(() => {
    holders = openers(kernel, nodes);
    return holders.length === 0 || holdsOne(device, holders) ? true : undefined;
  }, () => busyError(device, nodes, holders));
}

/**
 * The error for a device whose group is open.
 *
 * @param device The device.
 * @param nodes The nodes of its group.
 * @param holders Who has them open.
 * @param cause The kernel's answer, where it was asked.
 */
export function busyError(
  device: HostDevice,
  nodes: readonly string[],
  holders: readonly Opener[],
  cause?: unknown,
): VfioError {
  return new VfioError("DEVICE_BUSY", {
    device: device.name,
    problem: `${nodes.join(" or ")} is open in ${openersText(holders)}`,
    hint: holdsOne(device, holders)
      ? "this process has to detach every device of its group first"
      : "end that process, or let it close the device",
    cause,
  });
}

/** Whether this process is one of them. */
function holdsOne(
  { host: { kernel } }: HostDevice,
  holders: readonly Opener[],
): boolean {
  const self = Number(linkName(kernel, "/proc/self"));
  return holders.some(({ pid }) => pid === self);
}
