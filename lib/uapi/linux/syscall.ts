/**
 * `asm/unistd.h`: the numbers of the system calls that are made by number.
 *
 * @module
 */

const arm64 = Deno.build.arch === "aarch64";

/** Read from a descriptor. */
export const SYS_read: number = arm64 ? 63 : 0;
/** Write to a descriptor. */
export const SYS_write: number = arm64 ? 64 : 1;
/** Close a descriptor. */
export const SYS_close: number = arm64 ? 57 : 3;
/** Control a device. */
export const SYS_ioctl: number = arm64 ? 29 : 16;
/** Wait for descriptors. */
export const SYS_ppoll: number = arm64 ? 73 : 271;
/** Wait for a child process. */
export const SYS_wait4: number = arm64 ? 260 : 61;
/** Set from which NUMA nodes memory comes. */
export const SYS_mbind: number = arm64 ? 235 : 237;
