/**
 * The whole of `linux/iommufd.h`.
 *
 * Every struct begins with its size, and the kernel takes a larger one than it
 * knows as long as the rest is 0: the structs as they are here work with every
 * kernel since iommufd appeared, in Linux 6.2.
 *
 * @module
 */

export * from "./iommufd_fault.ts";
export * from "./iommufd_hwpt.ts";
export * from "./iommufd_ioas.ts";
export * from "./iommufd_viommu.ts";
