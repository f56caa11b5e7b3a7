/**
 * `linux/dirent.h`: what `getdents64` fills a buffer with.
 *
 * @module
 */

import {
  type Flexible,
  flexible,
  type I64,
  i64,
  type Struct,
  struct,
  type U16,
  u16,
  type U64,
  u64,
  type U8,
  u8,
} from "../layout.ts";

/** One directory entry; the name ends in a NUL, the entry at `d_reclen`. */
export const linux_dirent64: Struct<{
  d_ino: U64;
  d_off: I64;
  d_reclen: U16;
  d_type: U8;
  d_name: Flexible<U8>;
}> = struct("linux_dirent64", {
  d_ino: u64,
  d_off: i64,
  d_reclen: u16,
  d_type: u8,
  d_name: flexible(u8),
});
