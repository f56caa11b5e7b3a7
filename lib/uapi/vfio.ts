/**
 * The whole of `linux/vfio.h`.
 *
 * @module
 */

export * from "./vfio_cdev.ts";
export * from "./vfio_container.ts";
export * from "./vfio_device.ts";
export * from "./vfio_feature.ts";
export * from "./vfio_gfx.ts";
export * from "./vfio_migration.ts";
export * from "./vfio_pci.ts";
export * from "./vfio_region.ts";
export * from "./vfio_spapr.ts";
export * from "./vfio_type1.ts";
