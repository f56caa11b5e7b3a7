/**
 * `linux/netlink.h`: messages that the kernel sends to all who listen.
 *
 * @module
 */

import {
  type Struct,
  struct,
  type U16,
  u16,
  type U32,
  u32,
} from "../layout.ts";

/** What happens to devices (`lib/kobject_uevent.c`). */
export const NETLINK_KOBJECT_UEVENT = 15;
/** The group of the kernel's own messages, as a bit. */
export const KERNEL_EVENTS = 1;

/** The address of a netlink socket. */
export const sockaddr_nl: Struct<{
  nl_family: U16;
  nl_pad: U16;
  nl_pid: U32;
  nl_groups: U32;
}> = struct("sockaddr_nl", {
  nl_family: u16,
  nl_pad: u16,
  nl_pid: u32,
  nl_groups: u32,
});
