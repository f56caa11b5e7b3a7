/**
 * `asm-generic/fcntl.h`, and `asm/fcntl.h` where arm64 differs from x86-64.
 *
 * @module
 */

const arm64 = Deno.build.arch === "aarch64";

/** Read only. */
export const O_RDONLY = 0o0;
/** Write only. */
export const O_WRONLY = 0o1;
/** Read and write. */
export const O_RDWR = 0o2;
/** The bits that say which of these three it is. */
export const O_ACCMODE = 0o3;
/** Create the file where there is none. */
export const O_CREAT = 0o100;
/** With O_CREAT: fail where there is one. */
export const O_EXCL = 0o200;
/** Empty the file. */
export const O_TRUNC = 0o1000;
/** Write at the end. */
export const O_APPEND = 0o2000;
/** Fail with EAGAIN instead of waiting. */
export const O_NONBLOCK = 0o4000;
/** Past the page cache. Has O_DIRECTORY's value of the other architecture. */
export const O_DIRECT: number = arm64 ? 0o200000 : 0o40000;
/** Fail if it is no directory. */
export const O_DIRECTORY: number = arm64 ? 0o40000 : 0o200000;
/** Fail if the last component is a symbolic link. */
export const O_NOFOLLOW: number = arm64 ? 0o100000 : 0o400000;
/** A write returns when the data is on the disk. */
export const O_SYNC = 0o4010000;
/** Closed by `execve`. */
export const O_CLOEXEC = 0o2000000;
/** The place in the tree only; nothing can be read. */
export const O_PATH = 0o10000000;

/** Get the descriptor's flags. */
export const F_GETFD = 1;
/** Set the descriptor's flags. */
export const F_SETFD = 2;
/** Get the flags that the file was opened with. */
export const F_GETFL = 3;
/** Set those of them that can change. */
export const F_SETFL = 4;
/** Make another descriptor of the file, closed by `execve`. */
export const F_DUPFD_CLOEXEC = 1030;
/** The one flag of F_GETFD and F_SETFD. */
export const FD_CLOEXEC = 1;

/** Many may have the lock. */
export const LOCK_SH = 1;
/** One alone may have the lock. */
export const LOCK_EX = 2;
/** Do not wait for it. */
export const LOCK_NB = 4;
/** Give it up. */
export const LOCK_UN = 8;
