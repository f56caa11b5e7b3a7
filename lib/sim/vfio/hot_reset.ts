/**
 * Simulates hot resets: of a bus or slot, with every function on it
 * (`drivers/vfio/pci/vfio_pci_core.c`).
 *
 * @module
 */

import { dirname } from "../../host/path.ts";
import {
  vfio_pci_dependent_device,
  VFIO_PCI_DEVID_NOT_OWNED,
  vfio_pci_hot_reset,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_hot_reset_info,
} from "../../uapi/vfio/all.ts";
import type { Device, Group } from "../driver/bus.ts";
import { keepsBusFromReset } from "../../host/pci/quirks.ts";
import type { OpenFile } from "../fs/file.ts";
import { PciFunction } from "../pci/function.ts";
import { inMemory, received, sizeOf } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";

/** What a device's file knows of the owners of other devices. */
export interface HotResetOwner {
  /**
   * The id of a device in the iommufd that the file is bound to, 0 where only
   * its group is owned through that, `undefined` where neither is. Left out by a
   * file that was opened through a group.
   */
  deviceId?(device: Device): number | undefined;
}

/** A file that is a group, and so proves that its devices are owned. */
export interface GroupProof extends OpenFile {
  /** The group. */
  readonly group: Group;
}

/** Does VFIO_DEVICE_GET_PCI_HOT_RESET_INFO. */
export function hotResetInfo(
  device: Device,
  owner: HotResetOwner,
  argument: Uint8Array | bigint,
): number {
  const layout = vfio_pci_hot_reset_info;
  const each = vfio_pci_dependent_device;
  received(layout, argument);
  const argsz = sizeOf(argument);
  const affected = affectedBy(device);
  const count = affected.length;
  const bytes = inMemory(argument);
  if (argsz < layout.size + count * each.size) {
    layout.encode(bytes, { argsz, count });
    refuse("ENOSPC");
  }
  const ids = affected.map((fn) => idOf(fn, owner));
  const owned = ids.every((id) => id !== VFIO_PCI_DEVID_NOT_OWNED);
  const flags = owner.deviceId === undefined
    ? 0
    : VFIO_PCI_HOT_RESET_FLAG_DEV_ID |
      (owned ? VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED : 0);
  layout.encode(bytes, { argsz, flags, count });
  for (const [i, { routing: { domain, id } }] of affected.entries()) {
    each.encode(bytes, {
      group_id: ids[i]!,
      segment: domain,
      bus: id >> 8,
      devfn: id & 0xff,
    }, layout.offset.devices + i * each.size);
  }
  return 0;
}

/** What the info names a function by: its group, or its id in the iommufd. */
function idOf(fn: PciFunction, { deviceId }: HotResetOwner): number {
  if (deviceId === undefined) {
    return Number((fn.group ?? refuse("EPERM")).id);
  }
  return deviceId(fn) ?? VFIO_PCI_DEVID_NOT_OWNED;
}

/**
 * Does VFIO_DEVICE_PCI_HOT_RESET.
 *
 * @param device The device.
 * @param owner What its file knows of owners.
 * @param argument The argument of the ioctl.
 * @param file Returns the open file of a descriptor. EBADF where there is none.
 */
export async function hotReset(
  device: Device,
  owner: HotResetOwner,
  argument: Uint8Array | bigint,
  file: (fd: number) => OpenFile,
): Promise<number> {
  const { flags, count } = received(vfio_pci_hot_reset, argument);
  if (flags !== 0) refuse("EINVAL");
  const affected = affectedBy(device);
  const byGroups = owner.deviceId === undefined;
  if (byGroups !== count > 0 || count > affected.length) refuse("EINVAL");
  const groups = groupsIn(argument, count, file);
  for (const fn of affected) {
    if (fn.vfio === undefined) refuse("EINVAL");
    const owned = byGroups
      ? groups.has(fn.group!)
      : owner.deviceId!(fn) !== undefined;
    if (!owned) refuse("EINVAL");
  }
  for (const { core } of affected) core.resetting = true;
  await Promise.resolve();
  for (const { core } of affected) {
    core.resetting = false;
    core.reset();
  }
  return 0;
}

function groupsIn(
  argument: Uint8Array | bigint,
  count: number,
  file: (fd: number) => OpenFile,
): ReadonlySet<Group> {
  const layout = vfio_pci_hot_reset;
  const { size } = layout.fields.group_fds.element;
  const bytes = inMemory(argument);
  if (bytes.length < layout.size + count * size) refuse("EFAULT");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const groups = new Set<Group>();
  for (let i = 0; i < count; i++) {
    const fd = view.getInt32(layout.offset.group_fds + i * size, true);
    const open = file(fd);
    groups.add(isGroupProof(open) ? open.group : refuse("EINVAL"));
  }
  return groups;
}

function isGroupProof(file: OpenFile): file is GroupProof {
  return "group" in file;
}

/**
 * Returns the functions that a reset of a function's bus takes, by address: all
 * below the bridge that it is behind. ENODEV on a root bus, which has no bridge,
 * and where one of them does not come back from it.
 */
function affectedBy(device: Device): PciFunction[] {
  if (!(device instanceof PciFunction)) return refuse("ENODEV");
  const bridge = dirname(device.path);
  const { devices } = device.machine;
  const parent = dirname(bridge);
  const above = devices.below(parent).get(bridge.slice(parent.length + 1));
  if (!(above instanceof PciFunction)) return refuse("ENODEV");
  const affected = [...below(device, bridge)]
    .sort((a, b) => a.name < b.name ? -1 : 1);
  // pci_bus_resettable() in drivers/pci/pci.c
  if (affected.some(({ identity }) => keepsBusFromReset(identity))) {
    return refuse("ENODEV");
  }
  return affected;
}

function* below(
  { machine }: PciFunction,
  bridge: string,
): Generator<PciFunction> {
  for (const device of machine.devices.below(bridge).values()) {
    if (!(device instanceof PciFunction)) continue;
    yield device;
    yield* below(device, device.path);
  }
}
