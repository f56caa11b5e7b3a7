/**
 * The whole of `linux/vfio.h`.
 *
 * @module
 */

export * from "./cdev.ts";
export * from "./container.ts";
export * from "./device.ts";
export * from "./feature.ts";
export * from "./feature_ioctl.ts";
export * from "./gfx.ts";
export * from "./migration.ts";
export * from "./pci.ts";
export * from "./region.ts";
export * from "./type1.ts";
