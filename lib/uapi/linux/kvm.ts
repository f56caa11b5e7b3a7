/**
 * The part of `linux/kvm.h` by which a virtual machine knows its VFIO devices
 * (`Documentation/virt/kvm/devices/vfio.rst`).
 *
 * @module
 */

import { io, type Ioctl, iow, iowr } from "../ioctl.ts";
import {
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** The letter of KVM's ioctls. */
export const KVMIO = 0xae;
/** What KVM_GET_API_VERSION gives. */
export const KVM_API_VERSION = 12;

/** Asks `/dev/kvm` for its version: 12. */
export const KVM_GET_API_VERSION: Ioctl = io(
  "KVM_GET_API_VERSION",
  KVMIO,
  0x00,
  "none",
);

/** Makes a virtual machine of a type, 0 on x86-64, and gives its descriptor. */
export const KVM_CREATE_VM: Ioctl = io("KVM_CREATE_VM", KVMIO, 0x01, "value");

/** `type` is KVM_DEV_TYPE_*; `fd` comes back. */
export const kvm_create_device: Struct<{ type: U32; fd: U32; flags: U32 }> =
  struct("kvm_create_device", {
    type: u32,
    fd: u32,
    flags: u32,
  });

/** A device that knows the virtual machine's VFIO devices; one a machine. */
export const KVM_DEV_TYPE_VFIO = 4;

/** Makes a device that KVM emulates. EBUSY for a second one of VFIO. */
export const KVM_CREATE_DEVICE: Ioctl = iowr(
  "KVM_CREATE_DEVICE",
  KVMIO,
  0xe0,
  kvm_create_device,
);

/** `addr` is the address of the attribute's value. */
export const kvm_device_attr: Struct<{
  flags: U32;
  group: U32;
  attr: U64;
  addr: U64;
}> = struct("kvm_device_attr", {
  flags: u32,
  group: u32,
  attr: u64,
  addr: u64,
});

/** The attributes of VFIO's device that are about files of VFIO. */
export const KVM_DEV_VFIO_FILE = 1;
/** Adds one: a group, or, since Linux 6.6, a device. EEXIST if it is there. */
export const KVM_DEV_VFIO_FILE_ADD = 1;
/** Removes one. ENOENT if it is not there. */
export const KVM_DEV_VFIO_FILE_DEL = 2;

/** Sets an attribute of a device that KVM emulates. */
export const KVM_SET_DEVICE_ATTR: Ioctl = iow(
  "KVM_SET_DEVICE_ATTR",
  KVMIO,
  0xe1,
  kvm_device_attr,
);
