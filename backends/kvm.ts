/**
 * Which virtual machine the files of VFIO belong to
 * (`Documentation/virt/kvm/devices/vfio.rst`). A driver asks for that when its
 * device is opened. KVM holds what was added: until it is removed, closing it
 * releases nothing.
 *
 * @module
 */

import { VfioError } from "../lib/errors.ts";
import type { Fd } from "../lib/kernel/fd.ts";
import type { AttachTarget, KnowsDevices } from "./backend.ts";
import { insist } from "./teardown.ts";

/** Removes a file from a virtual machine, before it is closed. */
export function removeFrom(kvm: KnowsDevices, file: Fd): void {
  // What stays nevertheless goes when the machine is closed.
  insist(() => kvm.remove(file.number));
}

/**
 * The virtual machine of a group, for as long as devices of the group have one:
 * all that have one have the same.
 */
export class GroupMachine {
  #kvm: KnowsDevices | undefined;
  #users = 0;

  /** Adds the group, unless a device has done so. */
  enter(target: AttachTarget, group: Fd, kvm: KnowsDevices): void {
    if (this.#users === 0) {
      kvm.add(group.number);
      this.#kvm = kvm;
    } else if (this.#kvm !== kvm) throw otherMachine(target);
    this.#users++;
  }

  /** Removes the group behind the last device. */
  leave(group: Fd): void {
    if (--this.#users > 0) return;
    removeFrom(this.#kvm!, group);
    this.#kvm = undefined;
  }
}

function otherMachine({ device, group }: AttachTarget): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem: `its IOMMU group ${group.id} belongs to another virtual machine`,
    hint: "give all devices of a group to one virtual machine",
  });
}
