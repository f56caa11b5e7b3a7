/**
 * Whether a slot of the host isolates what is put into it.
 *
 * @module
 */

import type { DeviceHost } from "../../device.ts";
import { dirname } from "../../path.ts";
import { linkTarget, namesIn } from "../../sysfs.ts";
import { acsOf } from "./acs.ts";
import { PciFunction } from "../function.ts";

const DEVICES = "/sys/bus/pci/devices";
const PCI_CLASS_BRIDGE_PCI = 0x0604;

/**
 * The bridge that a function is directly behind.
 *
 * @param fn The function.
 */
export function bridgeOf(fn: PciFunction): PciFunction | undefined {
  const device = fn.host.deviceAt(dirname(fn.path));
  return device instanceof PciFunction ? device : undefined;
}

/**
 * Whether a root port isolates what is, or would be, behind it, other than those
 * that functions are behind: a port above a switch has no further slot.
 *
 * @param host The host.
 * @param functions The functions.
 */
export function hasIsolatingPort(
  host: DeviceHost,
  functions: readonly PciFunction[],
): boolean {
  const groups = new Set(functions.map(({ iommuGroup }) => iommuGroup?.id));
  return namesIn(host.kernel, DEVICES).some((name) => {
    const path = linkTarget(host.kernel, `${DEVICES}/${name}`);
    const fn = path === undefined ? undefined : host.deviceAt(path);
    return fn instanceof PciFunction &&
      fn.class >> 8 === PCI_CLASS_BRIDGE_PCI && bridgeOf(fn) === undefined &&
      !functions.some(({ path }) => path.startsWith(`${fn.path}/`)) &&
      fn.iommuGroup !== undefined && !groups.has(fn.iommuGroup.id) &&
      acsOf(fn).isolates !== false;
  });
}
