/**
 * Looks up functions and other devices that may not exist any more.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { HostDevice } from "../../host/device.ts";
import type { Host } from "../../host/host.ts";
import { realPath } from "../../host/sysfs.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import type { DriverStep } from "./step.ts";

/**
 * Returns the function at an address, or `undefined` where there is none.
 *
 * @param host The host.
 * @param address Its address.
 */
export function functionIfThere(
  host: Host,
  address: string,
): PciFunction | undefined {
  try {
    return host.function(address);
  } catch (error) {
    const isGone = error instanceof VfioError &&
      error.code === "DEVICE_NOT_FOUND";
    if (isGone) return undefined;
    throw error;
  }
}

/**
 * Returns the device that a step moves, or `undefined` where there is none.
 *
 * @param host The host.
 * @param step The step.
 */
export function deviceIfThere(
  host: Host,
  { device, bus = "pci" }: Pick<DriverStep, "device" | "bus">,
): HostDevice | undefined {
  if (bus === "pci") return functionIfThere(host, device);
  const path = realPath(host.kernel, `/sys/bus/${bus}/devices/${device}`);
  return path === undefined ? undefined : host.deviceAt(path);
}
