/**
 * `linux/eventfd.h`, the same on x86-64 and arm64.
 *
 * @module
 */

/** A read takes 1 from the counter instead of all. */
export const EFD_SEMAPHORE = 0o1;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;
