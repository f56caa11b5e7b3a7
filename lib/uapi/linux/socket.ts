/**
 * `sys/socket.h`, the same on x86-64 and arm64.
 *
 * @module
 */

import {
  type I32,
  i32,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** Sockets of this machine. */
export const AF_UNIX = 1;
/** Sockets to the kernel. */
export const AF_NETLINK = 16;
/** Bytes in order. */
export const SOCK_STREAM = 1;
/** Messages, which can get lost. */
export const SOCK_DGRAM = 2;
/** Messages as the protocol has them. */
export const SOCK_RAW = 3;
/** Messages in order. */
export const SOCK_SEQPACKET = 5;
/** Closed by `execve`. */
export const SOCK_CLOEXEC = 0o2000000;

/** Control messages of the socket itself. */
export const SOL_SOCKET = 1;
/** A control message that carries descriptors. */
export const SCM_RIGHTS = 1;
/** No signal when nobody reads: `sendmsg` fails with EPIPE. */
export const MSG_NOSIGNAL = 0x4000;
/** Control messages did not fit. */
export const MSG_CTRUNC = 0x8;
/** Descriptors that come are closed by `execve`. */
export const MSG_CMSG_CLOEXEC = 0x4000_0000;

/** Bytes that are sent or received (`sys/uio.h`). */
export const iovec: Struct<{ iov_base: U64; iov_len: U64 }> = struct("iovec", {
  iov_base: u64,
  iov_len: u64,
});

/** A message. */
export const msghdr: Struct<{
  msg_name: U64;
  msg_namelen: U32;
  msg_iov: U64;
  msg_iovlen: U64;
  msg_control: U64;
  msg_controllen: U64;
  msg_flags: I32;
}> = struct("msghdr", {
  msg_name: u64,
  msg_namelen: u32,
  msg_iov: u64,
  msg_iovlen: u64,
  msg_control: u64,
  msg_controllen: u64,
  msg_flags: i32,
});

/** The header of a control message; its contents follow. */
export const cmsghdr: Struct<{
  cmsg_len: U64;
  cmsg_level: I32;
  cmsg_type: I32;
}> = struct("cmsghdr", {
  cmsg_len: u64,
  cmsg_level: i32,
  cmsg_type: i32,
});
