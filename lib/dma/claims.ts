/**
 * Which address space of this process has which device and which IOMMU group.
 * The kernel does not say: iommufd replaces an attachment silently, and a group
 * opened by this process looks like one opened by another.
 *
 * @module
 */

import { VfioError } from "../errors.ts";
import type { HostDevice, IommuGroup } from "../host/device.ts";
import { systemOf } from "../kernel/intercept.ts";
import type { Kernel } from "../kernel/kernel.ts";

interface GroupClaim {
  readonly owner: object;
  devices: number;
}

interface Claims {
  /** Attached devices, by their path in sysfs. */
  readonly devices: Set<string>;
  /** Groups in use, by their number. */
  readonly groups: Map<string, GroupClaim>;
}

const CLAIMS = new WeakMap<Kernel, Claims>();

function claimsOn(kernel: Kernel): Claims {
  const system = systemOf(kernel);
  let claims = CLAIMS.get(system);
  if (claims === undefined) {
    claims = { devices: new Set(), groups: new Map() };
    CLAIMS.set(system, claims);
  }
  return claims;
}

/**
 * Claims a device, and its group with it, for an address space.
 *
 * @param device The device.
 * @param group Its group.
 * @param owner The address space.
 * @returns Disposing of it releases both.
 * @throws {VfioError} `ALREADY_ATTACHED` or `GROUP_IN_OTHER_SPACE`.
 */
export function claim(
  device: HostDevice,
  group: IommuGroup,
  owner: object,
): Disposable {
  const { devices, groups } = claimsOn(device.host.kernel);
  if (devices.has(device.path)) {
    throw new VfioError("ALREADY_ATTACHED", {
      device: device.name,
      problem: "this process has it attached already",
      hint: "use the device that was attached first, or detach that one",
    });
  }
  const present = groups.get(group.id);
  if (present !== undefined && present.owner !== owner) {
    throw new VfioError("GROUP_IN_OTHER_SPACE", {
      device: device.name,
      problem: `its IOMMU group ${group.id} is attached to another address ` +
        "space of this process",
      hint: "attach all devices of a group to one address space: the IOMMU " +
        "cannot tell them apart",
    });
  }
  const entry = present ?? { owner, devices: 0 };
  entry.devices++;
  devices.add(device.path);
  groups.set(group.id, entry);
  return {
    [Symbol.dispose]() {
      devices.delete(device.path);
      if (--entry.devices === 0) groups.delete(group.id);
    },
  };
}
