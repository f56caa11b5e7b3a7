/**
 * `linux/dirent.h`: what `getdents64` fills a buffer with.
 *
 * @module
 */

import { flexible, i64, struct, u16, u64, u8 } from "../layout.ts";

/** One directory entry; the name ends in a NUL, the entry at `d_reclen`. */
export const linux_dirent64 = struct("linux_dirent64", {
  d_ino: u64,
  d_off: i64,
  d_reclen: u16,
  d_type: u8,
  d_name: flexible(u8),
});
