/**
 * `linux/stat.h`: `statx`, whose layout is the same on every architecture.
 *
 * @module
 */

import {
  array,
  type ArrayOf,
  type I32,
  i32,
  type I64,
  i64,
  type Struct,
  struct,
  type U16,
  u16,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** Paths are taken from the working directory. */
export const AT_FDCWD = -100;
/** The file of the descriptor itself, where the path is empty. */
export const AT_EMPTY_PATH = 0x1000;
/** A symbolic link itself, not where it points. */
export const AT_SYMLINK_NOFOLLOW = 0x100;
/** Everything that `stat` tells. */
export const STATX_BASIC_STATS = 0x7ff;

/** The bits of `stx_mode` that tell the file's type. */
export const S_IFMT = 0o170000;
/** A file with contents. */
export const S_IFREG = 0o100000;
/** A directory. */
export const S_IFDIR = 0o040000;
/** A symbolic link. */
export const S_IFLNK = 0o120000;
/** A character device. */
export const S_IFCHR = 0o020000;
/** A block device. */
export const S_IFBLK = 0o060000;

/** A point in time. */
export const statx_timestamp: Struct<{
  tv_sec: I64;
  tv_nsec: U32;
  __reserved: I32;
}> = struct("statx_timestamp", {
  tv_sec: i64,
  tv_nsec: u32,
  __reserved: i32,
});

/** What is known of a file. The spare members are left together. */
export const statx: Struct<{
  stx_mask: U32;
  stx_blksize: U32;
  stx_attributes: U64;
  stx_nlink: U32;
  stx_uid: U32;
  stx_gid: U32;
  stx_mode: U16;
  __spare0: U16;
  stx_ino: U64;
  stx_size: U64;
  stx_blocks: U64;
  stx_attributes_mask: U64;
  stx_atime: typeof statx_timestamp;
  stx_btime: typeof statx_timestamp;
  stx_ctime: typeof statx_timestamp;
  stx_mtime: typeof statx_timestamp;
  stx_rdev_major: U32;
  stx_rdev_minor: U32;
  stx_dev_major: U32;
  stx_dev_minor: U32;
  __spare2: ArrayOf<bigint>;
}> = struct("statx", {
  stx_mask: u32,
  stx_blksize: u32,
  stx_attributes: u64,
  stx_nlink: u32,
  stx_uid: u32,
  stx_gid: u32,
  stx_mode: u16,
  __spare0: u16,
  stx_ino: u64,
  stx_size: u64,
  stx_blocks: u64,
  stx_attributes_mask: u64,
  stx_atime: statx_timestamp,
  stx_btime: statx_timestamp,
  stx_ctime: statx_timestamp,
  stx_mtime: statx_timestamp,
  stx_rdev_major: u32,
  stx_rdev_minor: u32,
  stx_dev_major: u32,
  stx_dev_minor: u32,
  __spare2: array(u64, 14),
});
