/**
 * The whole of `linux/vfio.h`.
 *
 * @module
 */

export * from "./vfio_container.ts";
export * from "./vfio_type1.ts";
export * from "./vfio_device.ts";
export * from "./vfio_pci.ts";
export * from "./vfio_cdev.ts";
