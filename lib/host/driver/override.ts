/**
 * The attribute that names the only driver that may bind a device.
 *
 * @module
 */

import type { HostDevice } from "../device.ts";
import { exists } from "../sysfs.ts";

/** The path of a device's `driver_override`, which may not exist. */
export function overridePath({ path }: HostDevice): string {
  return `${path}/driver_override`;
}

/**
 * Whether the bus lets an administrator choose a device's driver, as `pci`,
 * `platform`, `amba`, `fsl-mc`, `cdx` and `css` do. On other buses only a
 * driver that knows the device by its id binds it.
 */
export function isOverridable(device: HostDevice): boolean {
  const { bus, host: { kernel } } = device;
  return bus === "pci" || exists(kernel, overridePath(device));
}
