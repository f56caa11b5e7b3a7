/**
 * `linux/mman.h` and `linux/mempolicy.h`, the same on x86-64 and arm64.
 *
 * @module
 */

/** No access. */
export const PROT_NONE = 0x0;
/** Pages may be read. */
export const PROT_READ = 0x1;
/** Pages may be written. */
export const PROT_WRITE = 0x2;
/** Pages may be executed. */
export const PROT_EXEC = 0x4;

/** Writes reach the file, and everybody who has it mapped. */
export const MAP_SHARED = 0x01;
/** Writes make a copy of the page. */
export const MAP_PRIVATE = 0x02;
/** As MAP_SHARED, but flags that the kernel does not know are refused. */
export const MAP_SHARED_VALIDATE = 0x03;
/** At this address, in place of what is there. */
export const MAP_FIXED = 0x10;
/** At this address, unless something is there (EEXIST). */
export const MAP_FIXED_NOREPLACE = 0x10_0000;
/** Zeroed memory; no file. */
export const MAP_ANONYMOUS = 0x20;
/** Kept in memory; counts against RLIMIT_MEMLOCK. */
export const MAP_LOCKED = 0x2000;
/** No memory is set aside for the mapping. */
export const MAP_NORESERVE = 0x4000;
/** Pages are there when `mmap` returns. */
export const MAP_POPULATE = 0x8000;
/** From the pool of huge pages; the default size unless a MAP_HUGE_* is added. */
export const MAP_HUGETLB = 0x4_0000;
/** A huge page's size is passed as its base-2 logarithm in these bits. */
export const MAP_HUGE_SHIFT = 26;
/** The bits of that logarithm, before the shift. */
export const MAP_HUGE_MASK = 0x3f;
/** arm64 with 4 KiB pages, contiguous hint. */
export const MAP_HUGE_64KB: number = 16 << MAP_HUGE_SHIFT;
/** x86-64, and arm64 with 4 KiB pages. */
export const MAP_HUGE_2MB: number = 21 << MAP_HUGE_SHIFT;
/** arm64. */
export const MAP_HUGE_32MB: number = 25 << MAP_HUGE_SHIFT;
/** arm64 with 64 KiB pages. */
export const MAP_HUGE_512MB: number = 29 << MAP_HUGE_SHIFT;
/** x86-64, and arm64 with 4 KiB pages. */
export const MAP_HUGE_1GB: number = 30 << MAP_HUGE_SHIFT;

/** A fork's child does not get the range: pinned pages stay the parent's. */
export const MADV_DONTFORK = 10;
/** Transparent huge pages, where the range is aligned for them. */
export const MADV_HUGEPAGE = 14;

/** Pages come from the nodes that are named, and from no other. */
export const MPOL_BIND = 2;
