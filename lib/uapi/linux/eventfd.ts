/**
 * `linux/eventfd.h`, the same on x86-64 and arm64.
 *
 * @module
 */

/** A read takes 1 from the counter instead of all. */
export const EFD_SEMAPHORE = 0o1;
/** A read of an empty counter fails with EAGAIN. */
export const EFD_NONBLOCK = 0o4000;
/** Closed by `execve`. */
export const EFD_CLOEXEC = 0o2000000;
