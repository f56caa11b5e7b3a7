/**
 * Simulates netlink sockets (`net/netlink/af_netlink.c`,
 * `net/core/rtnetlink.c`) for the settings of virtual functions of a network
 * interface.
 *
 * @module
 */

import { errnoNumber } from "../../kernel/errno.ts";
import {
  attribute,
  attributeIn,
  attributesIn,
  linkMessage,
  message,
  swapped16,
} from "../../uapi/linux/netlink_message.ts";
import {
  ETH_P_8021Q,
  ifinfomsg,
  IFLA_EXT_MASK,
  IFLA_IFNAME,
  IFLA_NUM_VF,
  IFLA_VF_INFO,
  IFLA_VF_MAC,
  ifla_vf_mac,
  IFLA_VF_VLAN_INFO,
  ifla_vf_vlan_info,
  IFLA_VF_VLAN_LIST,
  IFLA_VFINFO_LIST,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  nlmsgerr,
  nlmsghdr,
  RTEXT_FILTER_VF,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
} from "../../uapi/linux/rtnetlink.ts";
import { O_NONBLOCK } from "../../uapi/linux/fcntl.ts";
import { NETLINK_KOBJECT_UEVENT } from "../../uapi/linux/netlink.ts";
import {
  AF_NETLINK,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_RAW,
} from "../../uapi/linux/socket.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { PciFunction } from "../pci/function.ts";
import { Refusal, refuse } from "./refusal.ts";
import { UeventSocket } from "./uevents.ts";
import { PhysicalFunction, type VirtualFunction } from "../pci/sriov.ts";

const MAX_VLAN = 4095;
const MAX_QOS = 7;
const MAC_BYTES = 6;

/**
 * Makes a socket.
 *
 * @param machine The machine that it is on.
 * @param process The process that makes it.
 * @param domain `AF_*`.
 * @param type `SOCK_*`.
 * @param protocol The protocol of the domain.
 */
export function newSocket(
  machine: Machine,
  process: Process,
  domain: number,
  type: number,
  protocol: number,
): OpenFile {
  if (domain !== AF_NETLINK) refuse("EAFNOSUPPORT");
  const kind = type & ~(SOCK_CLOEXEC | O_NONBLOCK);
  if (kind !== SOCK_RAW && kind !== SOCK_DGRAM) refuse("ESOCKTNOSUPPORT");
  if (protocol === NETLINK_KOBJECT_UEVENT) return new UeventSocket(machine);
  if (protocol !== NETLINK_ROUTE) refuse("EPROTONOSUPPORT");
  return new NetlinkSocket(machine, process);
}

class NetlinkSocket implements OpenFile {
  readonly linkText = "socket:[1]";
  readonly #machine: Machine;
  readonly #process: Process;
  readonly #answers: Uint8Array[] = [];

  constructor(machine: Machine, process: Process) {
    this.#machine = machine;
    this.#process = process;
  }

  read(into: Uint8Array): number {
    const answer = this.#answers.shift();
    if (answer === undefined) {
      throw new Error(
        "A real process would block in this call: it has read the answers " +
          "to all of its requests",
      );
    }
    // Bytes that do not fit are lost.
    const part = answer.subarray(0, into.length);
    into.set(part);
    return part.length;
  }

  write(from: Uint8Array): number {
    for (let at = 0; at + nlmsghdr.size <= from.length;) {
      const { nlmsg_len } = nlmsghdr.decode(from, at);
      if (nlmsg_len < nlmsghdr.size || at + nlmsg_len > from.length) break;
      this.#receive(from.slice(at, at + nlmsg_len));
      at += Math.ceil(nlmsg_len / 4) * 4;
    }
    return from.length;
  }

  close(): void {}

  /** `netlink_rcv_skb()` */
  #receive(request: Uint8Array): void {
    const msg = nlmsghdr.decode(request);
    if ((msg.nlmsg_flags & NLM_F_REQUEST) === 0) return;
    let error = 0;
    try {
      const answer = this.#answer(request);
      if (answer !== undefined) this.#answers.push(answer);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      error = -errnoNumber(refusal.code);
    }
    if (error === 0 && (msg.nlmsg_flags & NLM_F_ACK) === 0) return;
    const rest = error === 0 ? [] : [request.subarray(nlmsghdr.size)];
    this.#answers.push(
      message(NLMSG_ERROR, 0, msg.nlmsg_seq, [
        nlmsgerr.alloc({ error, msg }),
        ...rest,
      ]),
    );
  }

  /** `rtnetlink_rcv_msg()` */
  #answer(request: Uint8Array): Uint8Array | undefined {
    const { nlmsg_type, nlmsg_seq } = nlmsghdr.decode(request);
    if (nlmsg_type !== RTM_GETLINK && nlmsg_type !== RTM_SETLINK) {
      refuse("EOPNOTSUPP");
    }
    if (nlmsg_type === RTM_SETLINK && this.#process.uid !== 0) refuse("EPERM");
    const body = nlmsghdr.size + ifinfomsg.size;
    if (request.length < body) refuse("EINVAL");
    const { ifi_index } = ifinfomsg.decode(request, nlmsghdr.size);
    const attributes = request.subarray(body);
    const fn = this.#functionOf(ifi_index, attributes);
    if (nlmsg_type === RTM_SETLINK) return setLink(fn, attributes);
    const mask = attributeIn(attributes, IFLA_EXT_MASK);
    const virtual = mask !== undefined && (mask[0]! & RTEXT_FILTER_VF) !== 0;
    return linkMessage({
      type: RTM_NEWLINK,
      sequence: nlmsg_seq,
      index: fn.network!.index,
      attributes: [
        attribute(IFLA_IFNAME, cString(fn.network!.name)),
        ...virtual ? describe(fn) : [],
      ],
    });
  }

  #functionOf(index: number, attributes: Uint8Array): PciFunction {
    const bytes = attributeIn(attributes, IFLA_IFNAME);
    if (index <= 0 && bytes === undefined) refuse("EINVAL");
    const name = new TextDecoder().decode(bytes).split("\0")[0]!;
    for (const device of this.#machine.devices.on("pci").values()) {
      if (!(device instanceof PciFunction)) continue;
      const { network } = device;
      if (index > 0 ? network?.index === index : network?.name === name) {
        return device;
      }
    }
    return refuse("ENODEV");
  }
}

/** `rtnl_fill_vf()` */
function describe(fn: PciFunction): Uint8Array[] {
  if (!(fn instanceof PhysicalFunction)) return [];
  const number = Uint32Array.of(fn.functions.size);
  const count = attribute(IFLA_NUM_VF, new Uint8Array(number.buffer));
  if (fn.functions.size === 0) return [count];
  const infos = [...fn.functions].map(([vf, virtual]) => {
    const { address, vlan, qos, protocol } = settingsOf(virtual);
    const mac = new Uint8Array(32);
    mac.set(address);
    const vlan_proto = swapped16(protocol);
    return attribute(
      IFLA_VF_INFO,
      attribute(IFLA_VF_MAC, ifla_vf_mac.alloc({ vf, mac })),
      attribute(
        IFLA_VF_VLAN_LIST,
        attribute(
          IFLA_VF_VLAN_INFO,
          ifla_vf_vlan_info.alloc({ vf, vlan, qos, vlan_proto }),
        ),
      ),
    );
  });
  return [count, attribute(IFLA_VFINFO_LIST, ...infos)];
}

/** `do_setlink()`, `do_setvfinfo()` */
function setLink(fn: PciFunction, attributes: Uint8Array): undefined {
  const list = attributeIn(attributes, IFLA_VFINFO_LIST) ?? new Uint8Array();
  for (const info of attributesIn(list)) {
    if (info.type !== IFLA_VF_INFO) refuse("EINVAL");
    const mac = attributeIn(info.value, IFLA_VF_MAC);
    if (mac !== undefined) setAddress(fn, mac);
    const vlans = attributeIn(info.value, IFLA_VF_VLAN_LIST);
    if (vlans !== undefined) setVlan(fn, vlans);
  }
}

/** `igb_ndo_set_vf_mac()`. An address of zeros clears the address. */
function setAddress(fn: PciFunction, value: Uint8Array): void {
  if (value.length < ifla_vf_mac.size) refuse("EINVAL");
  const { vf, mac } = ifla_vf_mac.decode(value);
  const settings = settingsOf(virtualFunction(fn, vf));
  if ((mac[0]! & 1) !== 0) refuse("EINVAL");
  settings.address = mac.slice(0, MAC_BYTES);
}

/** `igb_ndo_set_vf_vlan()` */
function setVlan(fn: PciFunction, list: Uint8Array): void {
  const value = attributeIn(list, IFLA_VF_VLAN_INFO);
  if (value === undefined || value.length < ifla_vf_vlan_info.size) {
    return refuse("EINVAL");
  }
  const { vf, vlan, qos, vlan_proto } = ifla_vf_vlan_info.decode(value);
  const settings = settingsOf(virtualFunction(fn, vf));
  if (vlan > MAX_VLAN || qos > MAX_QOS) refuse("EINVAL");
  if (swapped16(vlan_proto) !== ETH_P_8021Q) refuse("EPROTONOSUPPORT");
  settings.vlan = vlan;
  settings.qos = qos;
}

function virtualFunction(fn: PciFunction, index: number): PciFunction {
  if (!(fn instanceof PhysicalFunction)) return refuse("EOPNOTSUPP");
  return fn.functions.get(index) ?? refuse("EINVAL");
}

function settingsOf(fn: PciFunction): VirtualFunction["settings"] {
  return (fn as VirtualFunction).settings;
}

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
