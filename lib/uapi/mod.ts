/**
 * The kernel's ABI: numbers, struct layouts and ioctls under the kernel's own
 * names, so that a device's descriptor is of use where the library has no
 * method yet.
 *
 * @example Ask a device for what the library does not ask
 * ```ts
 * import { AddressSpace, Host, VfioDevice } from "@passthru/vfio";
 * import {
 *   VFIO_DEVICE_GET_INFO,
 *   vfio_device_info,
 * } from "@passthru/vfio/uapi";
 *
 * const host = new Host();
 * await using space = new AddressSpace({ host });
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * const info = vfio_device_info.alloc({ argsz: vfio_device_info.size });
 * host.kernel.ioctl(device.fd, VFIO_DEVICE_GET_INFO, info);
 * console.log(vfio_device_info.decode(info).num_irqs);
 * ```
 *
 * @module
 */

export * from "./iommufd/all.ts";
export * from "./ioctl.ts";
export * from "./layout.ts";
export * from "./linux/eventfd.ts";
export * from "./linux/fcntl.ts";
export * from "./linux/kvm.ts";
export * from "./linux/mman.ts";
export * from "./linux/poll.ts";
export * from "./linux/socket.ts";
export * from "./pci/regs.ts";
export * from "./vfio/all.ts";
