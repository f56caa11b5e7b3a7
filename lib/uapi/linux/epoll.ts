/**
 * `linux/eventpoll.h`.
 *
 * @module
 */

import {
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** Add a descriptor. */
export const EPOLL_CTL_ADD = 1;
/** Remove a descriptor. */
export const EPOLL_CTL_DEL = 2;
/** Change what is waited for. */
export const EPOLL_CTL_MOD = 3;

/** There is data to read. */
export const EPOLLIN = 0x0001;
/** Report once, until EPOLL_CTL_MOD asks again. */
export const EPOLLONESHOT = 0x4000_0000;
/** Closed by `execve`. */
export const EPOLL_CLOEXEC = 0o2000000;

/** Without padding on x86-64, where programs of 32 bits have the same. */
const data: U64 = Deno.build.arch === "aarch64" ? u64 : { ...u64, align: 4 };

/** What is waited for, or came, and what the caller calls the descriptor. */
export const epoll_event: Struct<{ events: U32; data: U64 }> = struct(
  "epoll_event",
  {
    events: u32,
    data,
  },
);
