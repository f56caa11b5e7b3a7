/**
 * `linux/memfd.h`: flags of `memfd_create`.
 *
 * @module
 */

/** The file is closed by `execve`. */
export const MFD_CLOEXEC = 0x1;
/** Its size and more can be sealed. */
export const MFD_ALLOW_SEALING = 0x2;
/** It is made of huge pages. */
export const MFD_HUGETLB = 0x4;
