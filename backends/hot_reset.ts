/**
 * Hot resets: of a bus or slot, with every function on it
 * (`drivers/vfio/pci/vfio_pci_core.c`). A device that was opened through its
 * group proves by groups that all of it is ours, one that was opened by its own
 * node by its iommufd.
 *
 * @module
 */

import { hexDigits } from "../lib/hex.ts";
import { hasErrno } from "../lib/kernel/errno.ts";
import type { Fd } from "../lib/kernel/fd.ts";
import type { Decoded } from "../lib/uapi/layout.ts";
import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  vfio_pci_dependent_device,
  VFIO_PCI_DEVID_NOT_OWNED,
  vfio_pci_hot_reset,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  vfio_pci_hot_reset_info,
} from "../lib/uapi/vfio/pci.ts";
import type { Ownership } from "./backend.ts";

/** A function that a hot reset takes. */
export interface HotResetFunction {
  /** Its PCI address. */
  readonly address: string;
  /** Whether the kernel is told, or knows, that it is ours. */
  readonly owned: boolean;
}

/**
 * What this process has of the group of the function at an address.
 *
 * @param address The function's PCI address.
 */
export type OwnedInGroup = (address: string) => Iterable<Ownership>;

/** How many functions most hot resets take at most. */
const USUAL_COUNT = 8;

/**
 * The functions that a hot reset takes.
 *
 * @param fd The device's descriptor.
 * @param ownership What the kernel knows it by.
 * @param ownedInGroup What this process has of a function's group.
 * @throws {KernelError} `ENODEV` where neither its slot nor its bus can be reset,
 * as on a root bus; `EPERM` where one of them has no IOMMU group; `EAGAIN` while
 * functions come and go.
 */
export function readHotReset(
  fd: Fd,
  ownership: Ownership,
  ownedInGroup: OwnedInGroup,
): HotResetFunction[] {
  const { flags, devices } = readInfo(fd);
  const byId = (flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID) !== 0;
  return devices.map((device) => {
    const address = addressOf(device);
    const owned = byId
      ? device.devid !== VFIO_PCI_DEVID_NOT_OWNED
      : some(ownedInGroup(address), (other) => isOfKind(other, ownership));
    return { address, owned };
  });
}

type DependentDevice = Decoded<typeof vfio_pci_dependent_device.fields>;

function readInfo(
  fd: Fd,
): { flags: number; devices: readonly DependentDevice[] } {
  const layout = vfio_pci_hot_reset_info;
  const each = vfio_pci_dependent_device;
  for (let room = USUAL_COUNT;;) {
    const argument = layout.alloc({}, room * each.size);
    try {
      fd.ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, argument);
    } catch (error) {
      const { count } = layout.decode(argument);
      if (!hasErrno(error, "ENOSPC") || count <= room) throw error;
      room = count;
      continue;
    }
    const { flags, count } = layout.decode(argument);
    return {
      flags,
      devices: each.decodeArray(argument, count, layout.offset.devices),
    };
  }
}

function addressOf({ segment, bus, devfn }: DependentDevice): string {
  const slot = hexDigits(devfn >> 3, 2);
  return `${hexDigits(segment, 4)}:${hexDigits(bus, 2)}:${slot}.${devfn & 7}`;
}

/** Whether both prove ownership in the same way. */
function isOfKind(a: Ownership, b: Ownership): boolean {
  return "group" in a === "group" in b;
}

function some<T>(values: Iterable<T>, holds: (value: T) => boolean): boolean {
  for (const value of values) if (holds(value)) return true;
  return false;
}

/**
 * Resets a device's bus or slot.
 *
 * @param fd The device's descriptor.
 * @param ownership What the kernel knows it by.
 * @param owned What this process has of the groups of all affected functions.
 * @throws {KernelError} `EINVAL` where a function is not ours, or not bound to a
 * VFIO driver; `ENODEV` as {@linkcode readHotReset}; `EAGAIN` or `EBUSY` where
 * something keeps a function locked. In each case nothing was reset.
 */
export async function hotReset(
  fd: Fd,
  ownership: Ownership,
  owned: Iterable<Ownership>,
): Promise<void> {
  const groups = groupsOf([ownership, ...owned], ownership);
  using stack = new DisposableStack();
  for (const group of groups) stack.use(group.keep());
  await fd.ioctlAsync(VFIO_DEVICE_PCI_HOT_RESET, argumentFor(groups));
}

/** The groups by which a device proves ownership: none by its iommufd. */
function groupsOf(all: Iterable<Ownership>, by: Ownership): Fd[] {
  if (!("group" in by)) return [];
  const groups = new Set<Fd>();
  for (const ownership of all) {
    if ("group" in ownership) groups.add(ownership.group);
  }
  return [...groups];
}

function argumentFor(groups: readonly Fd[]): Uint8Array {
  const layout = vfio_pci_hot_reset;
  const { size } = layout.fields.group_fds.element;
  const count = groups.length;
  const argument = layout.alloc({ count }, count * size);
  const view = new DataView(argument.buffer);
  groups.forEach((group, i) =>
    view.setInt32(layout.offset.group_fds + i * size, group.number, true)
  );
  return argument;
}
