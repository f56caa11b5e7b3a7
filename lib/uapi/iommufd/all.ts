/**
 * The whole of `linux/iommufd.h`.
 *
 * Every struct begins with its size, and the kernel takes a larger one than it
 * knows as long as the rest is 0: the structs as they are here work with every
 * kernel since iommufd appeared, in Linux 6.2.
 *
 * @module
 */

export * from "./fault.ts";
export * from "./hw_info.ts";
export * from "./hwpt.ts";
export * from "./ioas.ts";
export * from "./options.ts";
export * from "./viommu.ts";
