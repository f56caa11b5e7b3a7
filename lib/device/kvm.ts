import type { KnowsDevices } from "../../backends/backend.ts";
import { toVfioError, VfioError } from "../errors.ts";
import { Host } from "../host/host.ts";
import { hasErrno } from "../kernel/errno.ts";
import { Fd } from "../kernel/fd.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { O_RDWR } from "../uapi/linux/fcntl.ts";
import {
  KVM_CREATE_DEVICE,
  kvm_create_device,
  KVM_CREATE_VM,
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  kvm_device_attr,
  KVM_SET_DEVICE_ATTR,
} from "../uapi/linux/kvm.ts";

const KVM_NODE = "/dev/kvm";

/** Which system a virtual machine is on. */
export interface KvmOptions {
  /** The host. Default: this machine. */
  readonly host?: Host;
}

/**
 * What tells a virtual machine of KVM's which VFIO devices it has: KVM then
 * keeps their caches coherent, and some drivers refuse a device without it
 * (`virt/kvm/vfio.c`). Pass it to the attach of each of the machine's devices.
 *
 * KVM holds the devices that it was told of, and is told to let go of one when
 * that is detached. Detach them, then dispose of this.
 *
 * @example A device for a virtual machine that this script makes
 * ```ts
 * import { AddressSpace, KvmVfio, VfioDevice } from "@passthru/vfio";
 *
 * using kvm = KvmVfio.create();
 * await using space = new AddressSpace();
 * const device = await VfioDevice.attach("0000:01:00.0", space, { kvm });
 * console.log(device.name, "is for the machine of descriptor", kvm.vm);
 * ```
 */
export class KvmVfio implements KnowsDevices, Disposable {
  readonly #kernel: Kernel;
  readonly #device: Fd;
  readonly #vm: Fd | undefined;

  private constructor(kernel: Kernel, device: Fd, vm: Fd | undefined) {
    this.#kernel = kernel;
    this.#device = device;
    this.#vm = vm;
  }

  /**
   * Makes a virtual machine, and what tells it.
   *
   * @param options The host.
   * @throws {VfioError} `NOT_SUPPORTED` if the host has no KVM, or one that
   * knows no VFIO; `PERMISSION_DENIED`, `KERNEL`.
   */
  static create({ host = new Host() }: KvmOptions = {}): KvmVfio {
    const { kernel } = host;
    using stack = new DisposableStack();
    try {
      using node = Fd.open(kernel, KVM_NODE, O_RDWR);
      const vm = Fd.adopt(kernel, node.ioctl(KVM_CREATE_VM, 0n));
      stack.use(vm);
      const device = createDevice(kernel, vm.number);
      stack.move();
      return new KvmVfio(kernel, device, vm);
    } catch (error) {
      throw nodeRefused(error);
    }
  }

  /**
   * Makes what tells a virtual machine that there is.
   *
   * @param vm The machine's descriptor, from KVM_CREATE_VM in this process. It
   * stays the caller's.
   * @param options The host.
   * @throws {TypeError} If it is no virtual machine's.
   * @throws {VfioError} `DEVICE_BUSY` if the machine has one already, as there
   * is one a machine; `NOT_SUPPORTED`, `KERNEL`.
   */
  static of(vm: number, { host = new Host() }: KvmOptions = {}): KvmVfio {
    return new KvmVfio(host.kernel, createDevice(host.kernel, vm), undefined);
  }

  /**
   * The descriptor of the machine that {@linkcode KvmVfio.create} made, -1 once
   * closed; `undefined` for another's.
   */
  get vm(): number | undefined {
    return this.#vm?.number;
  }

  /**
   * Adds a file of VFIO: a group before a device of it is opened, or a device's
   * own before it is bound. An attach does it.
   *
   * @param fd The file's descriptor.
   * @throws {VfioError} `ALREADY_ATTACHED` if the machine has it,
   * `BACKEND_UNAVAILABLE` if KVM takes no such file, as that of Linux 6.1 takes
   * none but a group's, `DETACHED` once this is closed, `NOT_SUPPORTED`,
   * `KERNEL`.
   */
  add(fd: number): void {
    if (this.#device.number < 0) {
      throw new VfioError("DETACHED", {
        problem: "the KvmVfio of the virtual machine was closed",
        hint: "make another",
      });
    }
    try {
      this.#set(KVM_DEV_VFIO_FILE_ADD, fd);
    } catch (error) {
      throw addRefused(fd, error);
    }
  }

  /**
   * Removes a file, which can be closed then. A detach does it.
   *
   * @param fd The file's descriptor.
   * @throws {VfioError} `KERNEL` if the machine does not have it.
   */
  remove(fd: number): void {
    // Closing it has removed all.
    if (this.#device.number < 0) return;
    try {
      this.#set(KVM_DEV_VFIO_FILE_DEL, fd);
    } catch (error) {
      throw toVfioError(error, "take a device from its virtual machine");
    }
  }

  #set(attribute: number, fd: number): void {
    const value = new Uint8Array(new Int32Array([fd]).buffer);
    this.#device.ioctl(
      KVM_SET_DEVICE_ATTR,
      kvm_device_attr.alloc({
        group: KVM_DEV_VFIO_FILE,
        attr: BigInt(attribute),
        addr: this.#kernel.addressOf(value),
      }),
    );
    // The kernel has the buffer's address: this keeps the buffer alive until
    // here.
    value.fill(0);
  }

  /**
   * Lets go of all devices, and of the machine that {@linkcode KvmVfio.create}
   * made. Calling it again does nothing.
   */
  close(): void {
    this.#device[Symbol.dispose]();
    this.#vm?.[Symbol.dispose]();
  }

  /** The same as {@linkcode KvmVfio.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function createDevice(kernel: Kernel, vm: number): Fd {
  const argument = kvm_create_device.alloc({ type: KVM_DEV_TYPE_VFIO });
  try {
    kernel.ioctl(vm, KVM_CREATE_DEVICE, argument);
    return Fd.adopt(kernel, kvm_create_device.decode(argument).fd);
  } catch (error) {
    throw createRefused(vm, error);
  }
}

function createRefused(vm: number, cause: unknown): unknown {
  if (hasErrno(cause, "EBADF", "ENOTTY")) {
    return new TypeError(
      `Cannot use descriptor ${vm} as a virtual machine: it is another file's`,
      { cause },
    );
  }
  if (hasErrno(cause, "EBUSY")) {
    return new VfioError("DEVICE_BUSY", {
      problem: `the virtual machine of descriptor ${vm} has a KvmVfio already`,
      hint: "use that one for all devices of the machine",
      cause,
    });
  }
  return hasErrno(cause, "ENODEV", "EINVAL")
    ? noVfio(cause)
    : toVfioError(cause, "make KVM's VFIO device");
}

function nodeRefused(cause: unknown): unknown {
  if (hasErrno(cause, "ENOENT", "ENODEV", "ENXIO")) {
    return new VfioError("NOT_SUPPORTED", {
      problem: `the host has no KVM: ${KVM_NODE} does not answer`,
      hint: "load kvm_intel or kvm_amd, and switch virtualisation on in the " +
        "firmware's set-up",
      cause,
    });
  }
  if (hasErrno(cause, "EACCES", "EPERM")) {
    return new VfioError("PERMISSION_DENIED", {
      problem: `this user may not open ${KVM_NODE}`,
      hint: "add the user to the group kvm, or run as root",
      cause,
    });
  }
  return toVfioError(cause, "make a virtual machine");
}

function addRefused(fd: number, cause: unknown): unknown {
  if (hasErrno(cause, "EEXIST")) {
    return new VfioError("ALREADY_ATTACHED", {
      problem: "the virtual machine has the device, or its group, already",
      hint: "take it out first: kvm.remove(fd)",
      cause,
    });
  }
  if (hasErrno(cause, "EINVAL")) {
    return new VfioError("BACKEND_UNAVAILABLE", {
      problem: `KVM does not take descriptor ${fd} for a device`,
      hint: 'take the backend "legacy", whose groups every KVM takes',
      cause,
    });
  }
  return hasErrno(cause, "ENXIO")
    ? noVfio(cause)
    : toVfioError(cause, "tell the virtual machine of its device");
}

function noVfio(cause: unknown): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    problem: "this kernel's KVM knows no VFIO devices",
    hint: "take a kernel with CONFIG_KVM_VFIO",
    cause,
  });
}
