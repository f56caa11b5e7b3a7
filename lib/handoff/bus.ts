/**
 * The other devices of a device's bus.
 *
 * @module
 */

import type { HostDevice } from "../host/device.ts";
import { namesIn, realPath } from "../host/sysfs.ts";

/** The names of all devices on the bus of a device, itself included. */
export function devicesOfBus({ bus, host }: HostDevice): string[] {
  return namesIn(host.kernel, `/sys/bus/${bus}/devices`);
}

/** Another device on the bus of a device, by its name. */
export function deviceAtAddress(
  { bus, host }: HostDevice,
  name: string,
): HostDevice | undefined {
  const path = realPath(host.kernel, `/sys/bus/${bus}/devices/${name}`);
  return path === undefined ? undefined : host.deviceAt(path);
}
