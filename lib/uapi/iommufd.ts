/**
 * The whole of `linux/iommufd.h`.
 *
 * @module
 */

export * from "./iommufd_ioas.ts";
