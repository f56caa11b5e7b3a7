/**
 * Simulates `/dev/kvm`, as far as VFIO is concerned (`virt/kvm/kvm_main.c`,
 * `virt/kvm/vfio.c`). Its machines run nothing.
 *
 * @module
 */

import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  KVM_API_VERSION,
  KVM_CREATE_DEVICE,
  kvm_create_device,
  KVM_CREATE_VM,
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  kvm_device_attr,
  KVM_GET_API_VERSION,
  KVM_SET_DEVICE_ATTR,
} from "../../uapi/linux/kvm.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { inMemory, put32 } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";
import { DeviceFile } from "../vfio/device_file.ts";
import { GroupFile } from "../vfio/group_file.ts";

/** `/dev/kvm`, open. */
export class KvmFile implements OpenFile {
  readonly linkText = "/dev/kvm";
  readonly #machine: Machine;

  /** @param machine The machine that it is on. */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    switch (operation.request) {
      case KVM_GET_API_VERSION.request:
        return argument === 0n ? KVM_API_VERSION : refuse("EINVAL");
      case KVM_CREATE_VM.request:
        if (argument !== 0n) refuse("EINVAL");
        return process.install(new VmFile(this.#machine));
      default:
        return refuse("EINVAL");
    }
  }

  close(): void {}
}

/** A virtual machine. */
class VmFile implements OpenFile {
  readonly linkText = "anon_inode:kvm-vm";
  readonly #machine: Machine;
  #vfio: KvmVfioFile | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    if (operation.request !== KVM_CREATE_DEVICE.request) {
      return refuse("ENOTTY");
    }
    const { type } = kvm_create_device.decode(inMemory(argument));
    if (type !== KVM_DEV_TYPE_VFIO) refuse("ENODEV");
    if (this.#vfio !== undefined) refuse("EBUSY");
    const file = new KvmVfioFile(this.#machine, () => this.#vfio = undefined);
    this.#vfio = file;
    put32(argument, kvm_create_device.offset.fd, process.install(file));
    return 0;
  }

  close(): void {}
}

/** What tells a virtual machine of its devices. It holds their files. */
class KvmVfioFile implements OpenFile {
  readonly linkText = "anon_inode:kvm-vfio";
  readonly #machine: Machine;
  readonly #closed: () => void;
  readonly #files = new Map<OpenFile, () => void>();

  constructor(machine: Machine, closed: () => void) {
    this.#machine = machine;
    this.#closed = closed;
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    if (operation.request !== KVM_SET_DEVICE_ATTR.request) {
      return refuse("ENOTTY");
    }
    const { group, attr, addr } = kvm_device_attr.decode(inMemory(argument));
    if (group !== KVM_DEV_VFIO_FILE) refuse("ENXIO");
    const adds = attr === BigInt(KVM_DEV_VFIO_FILE_ADD);
    if (!adds && attr !== BigInt(KVM_DEV_VFIO_FILE_DEL)) refuse("ENXIO");
    const value = process.memory.buffer(addr);
    const fd = new DataView(value.buffer, value.byteOffset).getInt32(0, true);
    const file = process.file(fd);
    if (adds) this.#add(file, process.hold(fd));
    else this.#remove(file);
    return 0;
  }

  #add(file: OpenFile, release: () => void): void {
    const isDevice = this.#machine.since(6, 6) && file instanceof DeviceFile;
    const refusal = !isDevice && !(file instanceof GroupFile)
      ? "EINVAL"
      : this.#files.has(file)
      ? "EEXIST"
      : undefined;
    if (refusal !== undefined) {
      release();
      refuse(refusal);
    }
    this.#files.set(file, release);
  }

  #remove(file: OpenFile): void {
    const release = this.#files.get(file) ?? refuse("ENOENT");
    this.#files.delete(file);
    release();
  }

  close(): void {
    for (const release of this.#files.values()) release();
    this.#files.clear();
    this.#closed();
  }
}
