/**
 * An entry of `/proc/PID/pagemap`: `fs/proc/task_mmu.c`, and
 * `Documentation/admin-guide/mm/pagemap.rst`. No header for user space has it.
 *
 * @module
 */

/** The number of the page's frame; 0 for who lacks CAP_SYS_ADMIN. */
export const PM_PFRAME_BITS = (1n << 55n) - 1n;
/** The page is in memory. */
export const PM_PRESENT = 1n << 63n;
