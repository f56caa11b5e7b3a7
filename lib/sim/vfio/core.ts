/**
 * Registers devices with VFIO, and unregisters them
 * (`drivers/vfio/vfio_main.c`, `drivers/vfio/group.c`).
 *
 * @module
 */

import type { Steps } from "../process/blocking.ts";
import type { Device, Group, GroupKind, GroupNode } from "../driver/bus.ts";
import type { Keyed } from "../fs/tree.ts";
import type { Machine } from "../machine/machine.ts";
import { refuse } from "../process/refusal.ts";
import { VfioDevice } from "./device.ts";

/**
 * Registers a device with VFIO when its driver binds. EINVAL where it has no
 * group and VFIO may not make one.
 *
 * @param machine The machine it is on.
 * @param device The device.
 * @param kind The kind of its group: its own, or one that VFIO makes.
 */
export function register(
  machine: Machine,
  device: Device,
  kind: GroupKind = "iommu",
): void {
  if (kind === "iommu" && device.group === undefined) {
    if (!machine.features.noIommu) refuse("EINVAL");
    kind = "noiommu";
  }
  if (kind !== "iommu") machine.join(device, machine.newGroup(kind));
  const group = device.group!;
  group.node ??= {
    minor: machine.groupMinors.take(),
    devices: new Set(),
    holder: undefined,
    bound: 0,
  };
  group.node.devices.add(device);
  device.vfio = new VfioDevice(
    machine.vfioNumbers.take(),
    // CONFIG_IOMMUFD_NOIOMMU
    kind === "noiommu" && machine.since(7, 3),
    () => device.core.interrupts.request(),
  );
  machine.vfioDevices.set(device.vfio.name, device);
}

/** Unregisters a device from VFIO, after the last of its files is closed. */
export function* unregister(machine: Machine, device: Device): Steps<void> {
  const { vfio } = device;
  if (vfio === undefined) return;
  vfio.registered = false;
  if (vfio.isOpen) yield vfio.requested();
  const group = device.group!;
  const node = group.node!;
  node.devices.delete(device);
  if (node.devices.size === 0) {
    machine.groupMinors.give(node.minor);
    group.node = undefined;
    node.holder?.revoked();
  }
  if (group.kind !== "iommu") machine.leaveGroup(device);
  machine.vfioNumbers.give(vfio.number);
  machine.vfioDevices.delete(vfio.name);
  device.vfio = undefined;
}

/** Returns the name of a group's node: `"12"`, or `"noiommu-0"`. */
export function groupNodeName({ id, noIommu }: Group): string {
  return noIommu ? `noiommu-${id}` : id;
}

/** Returns the groups that have a node, by its name. */
export function groupsWithNode({ groups }: Machine): Keyed<Group> {
  return {
    keys: () =>
      [...groups.values()].filter(({ node }) => node !== undefined)
        .map(groupNodeName),
    get(name) {
      const group = groups.get(name.replace(/^noiommu-/, ""));
      const isIt = group?.node !== undefined && groupNodeName(group) === name;
      return isIt ? group : undefined;
    },
  };
}

/** Returns the devices of VFIO for which a condition holds, by their names. */
export function vfioDevicesThat(
  { vfioDevices }: Machine,
  holds: (device: Device) => boolean,
): Keyed<Device> {
  return {
    keys: () =>
      [...vfioDevices].filter(([, device]) => holds(device))
        .map(([name]) => name),
    get(name) {
      const device = vfioDevices.get(name);
      return device !== undefined && holds(device) ? device : undefined;
    },
  };
}

/**
 * Returns whether sysfs shows a device's VFIO device. Before Linux 6.6 it does
 * so until the last of its files is closed.
 */
export function isListed(machine: Machine, { vfio }: Device): boolean {
  return vfio !== undefined && machine.since(6, 1) &&
    (vfio.registered || !machine.since(6, 6));
}

/** The major numbers of the nodes. The kernel allocates them at boot. */
const GROUP_MAJOR = 249;
const CDEV_MAJOR = 248;

/** Returns the device number of a group's node. */
export function groupDeviceNumber({ minor }: GroupNode): string {
  return `${GROUP_MAJOR}:${minor}`;
}

/** Returns the device number of a device's own node, if it has one. */
export function cdevNumber(
  machine: Machine,
  { vfio, group }: Device,
): string | undefined {
  return machine.features.iommufd && vfio?.registered &&
      group?.noIommu === vfio.noIommu
    ? `${CDEV_MAJOR}:${vfio.number}`
    : undefined;
}
