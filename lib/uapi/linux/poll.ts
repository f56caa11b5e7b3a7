/**
 * `asm-generic/poll.h`.
 *
 * @module
 */

import {
  type I32,
  i32,
  type Struct,
  struct,
  type U16,
  u16,
} from "../layout.ts";

/** There is data to read. */
export const POLLIN = 0x0001;
/** Writing does not block. */
export const POLLOUT = 0x0004;
/** An error; reported without being asked for. */
export const POLLERR = 0x0008;
/** The other end is gone; reported without being asked for. */
export const POLLHUP = 0x0010;
/** The descriptor is not open; reported without being asked for. */
export const POLLNVAL = 0x0020;

/** One descriptor to wait for. The event members are `short`, used as bits. */
export const pollfd: Struct<{ fd: I32; events: U16; revents: U16 }> = struct(
  "pollfd",
  {
    fd: i32,
    events: u16,
    revents: u16,
  },
);
