/**
 * The device nodes through which VFIO hands out a device.
 *
 * @module
 */

import type { HostDevice, IommuGroup } from "../device.ts";
import { exists } from "../sysfs.ts";

/** The node of iommufd. */
export const IOMMUFD_NODE = "/dev/iommu";

/** The nodes of a device that is bound to a VFIO driver. */
export interface VfioNodes {
  /** Its group's node, `/dev/vfio/12`, where the kernel has groups. */
  readonly group: string | undefined;
  /**
   * Its own node, `/dev/vfio/devices/vfio0`, where the kernel has such nodes.
   */
  readonly cdev: string | undefined;
}

/**
 * The nodes that the kernel has announced for a device. The kernel announces
 * them in sysfs while the driver binds. They appear in `/dev` when devtmpfs,
 * udev or a container's runtime makes them.
 *
 * @param device Any device of this host.
 * @param iommuGroup The group that it belongs to.
 */
export function vfioNodes(
  device: HostDevice,
  iommuGroup: IommuGroup | undefined = device.iommuGroup,
): VfioNodes {
  const { vfioDevice, path, host: { kernel } } = device;
  // drivers/vfio/group.c, vfio_group_alloc(): a group without an IOMMU is
  // named so that nobody takes it for a safe one.
  const group = iommuGroup === undefined
    ? undefined
    : [iommuGroup.id, `noiommu-${iommuGroup.id}`]
      .find((name) => exists(kernel, `/sys/class/vfio/${name}`));
  // Without CONFIG_VFIO_DEVICE_CDEV sysfs has the device, but no number of a
  // node.
  const cdev = vfioDevice !== undefined &&
    exists(kernel, `${path}/vfio-dev/${vfioDevice}/dev`);
  return {
    group: group === undefined ? undefined : `/dev/vfio/${group}`,
    cdev: cdev ? `/dev/vfio/devices/${vfioDevice}` : undefined,
  };
}

/** The paths of the nodes through which devices are in use. */
export function nodePaths(devices: readonly HostDevice[]): string[] {
  const paths = devices.map((device) => vfioNodes(device))
    .flatMap(({ group, cdev }) => [group, cdev])
    .filter((path) => path !== undefined);
  return [...new Set(paths)];
}
