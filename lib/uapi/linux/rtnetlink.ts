/**
 * `linux/rtnetlink.h`, `linux/if_link.h`: asking the kernel about network
 * interfaces and the virtual functions behind them, and changing these.
 *
 * @module
 */

import {
  type Bytes,
  bytes,
  type I32,
  i32,
  type Struct,
  struct,
  type U16,
  u16,
  type U32,
  u32,
  type U8,
  u8,
} from "../layout.ts";

/** The protocol of a netlink socket. */
export const NETLINK_ROUTE = 0;

export const nlmsghdr: Struct<{
  nlmsg_len: U32;
  nlmsg_type: U16;
  nlmsg_flags: U16;
  nlmsg_seq: U32;
  nlmsg_pid: U32;
}> = struct("nlmsghdr", {
  nlmsg_len: u32,
  nlmsg_type: u16,
  nlmsg_flags: u16,
  nlmsg_seq: u32,
  nlmsg_pid: u32,
});
export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
/** The type of an answer: an errno, negative, or 0 that acknowledges. */
export const NLMSG_ERROR = 0x2;
export const NLMSG_ALIGNTO = 4;

export const nlmsgerr: Struct<{ error: I32; msg: typeof nlmsghdr }> = struct(
  "nlmsgerr",
  { error: i32, msg: nlmsghdr },
);

export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;

export const ifinfomsg: Struct<{
  ifi_family: U8;
  __ifi_pad: U8;
  ifi_type: U16;
  ifi_index: I32;
  ifi_flags: U32;
  ifi_change: U32;
}> = struct("ifinfomsg", {
  ifi_family: u8,
  __ifi_pad: u8,
  ifi_type: u16,
  ifi_index: i32,
  ifi_flags: u32,
  ifi_change: u32,
});

/** The header of an attribute; `rta_len` counts it too. */
export const rtattr: Struct<{ rta_len: U16; rta_type: U16 }> = struct(
  "rtattr",
  { rta_len: u16, rta_type: u16 },
);

export const IFLA_IFNAME = 3;
/** How many virtual functions there are, where RTEXT_FILTER_VF asks for it. */
export const IFLA_NUM_VF = 21;
/** IFLA_VF_INFO attributes. */
export const IFLA_VFINFO_LIST = 22;
/** Which more is asked for. */
export const IFLA_EXT_MASK = 29;
export const RTEXT_FILTER_VF = 1 << 0;
export const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** IFLA_VF_* attributes of one virtual function. */
export const IFLA_VF_INFO = 1;

export const IFLA_VF_MAC = 1;
/** An address is the first 6 of the 32 bytes, for Ethernet. */
export const ifla_vf_mac: Struct<{ vf: U32; mac: Bytes }> = struct(
  "ifla_vf_mac",
  { vf: u32, mac: bytes(32) },
);

/** IFLA_VF_VLAN_INFO attributes, of which drivers take one. */
export const IFLA_VF_VLAN_LIST = 12;
export const IFLA_VF_VLAN_INFO = 1;
/** `vlan_proto` is in network byte order: its bytes are swapped here. */
export const ifla_vf_vlan_info: Struct<{
  vf: U32;
  vlan: U32;
  qos: U32;
  vlan_proto: U16;
}> = struct("ifla_vf_vlan_info", {
  vf: u32,
  vlan: u32,
  qos: u32,
  vlan_proto: u16,
});
/** `linux/if_ether.h`: the usual protocol of a VLAN, in host byte order. */
export const ETH_P_8021Q = 0x8100;
