/**
 * The network settings of virtual functions: the driver of the physical
 * function sets their MAC address and their VLAN, before they are handed out
 * (`ip link set eth0 vf 0 mac … vlan …`).
 *
 * @module
 */

import { hexDigits } from "../../hex.ts";
import { VfioError } from "../../errors.ts";
import { hasErrno, KernelError } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  attribute,
  attributeIn,
  attributesIn,
  linkMessage,
  swapped16,
} from "../../uapi/linux/netlink_message.ts";
import {
  ifinfomsg,
  IFLA_EXT_MASK,
  IFLA_IFNAME,
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
  RTEXT_FILTER_SKIP_STATS,
  RTEXT_FILTER_VF,
  RTM_GETLINK,
  RTM_SETLINK,
} from "../../uapi/linux/rtnetlink.ts";
import { AF_NETLINK, SOCK_RAW } from "../../uapi/linux/socket.ts";
import type { PciFunction } from "../pci/function.ts";
import { namesIn } from "../sysfs.ts";

/** The network settings of a virtual function. */
export interface VirtualNetwork {
  /** Its MAC address; zeros where none is set. */
  readonly mac: string;
  /** Its VLAN, and how its frames are tagged. */
  readonly vlan: VirtualVlan;
}

/** The VLAN of a virtual function. */
export interface VirtualVlan {
  /** Its number, 0 for none. */
  readonly id: number;
  /** The priority of its frames, 0 to 7. */
  readonly qos: number;
  /** The protocol of its tags: 0x8100, or 0x88a8 for those of a provider. */
  readonly protocol: number;
}

/** The address of a virtual function without one. */
export const NO_MAC = "00:00:00:00:00:00";

const MAC_BYTES = 6;

/** All virtual functions are in one attribute, which has at most 64 KiB. */
const ANSWER_BYTES = 128 * 1024;

/**
 * The network interfaces of a function itself, as its driver makes them.
 *
 * @param fn The function.
 */
export function networkInterfaces({ host, path }: PciFunction): string[] {
  return namesIn(host.kernel, `${path}/net`);
}

/**
 * Reads the network settings of a virtual function.
 *
 * @param physical Its physical function.
 * @param index Its number.
 * @returns The settings, or `undefined` where no network interface of the
 * physical function has them: there is none, or it has fewer virtual functions.
 * @throws {VfioError} `KERNEL`.
 */
export function readVirtualNetwork(
  physical: PciFunction,
  index: number,
): VirtualNetwork | undefined {
  return readOf(physical, index)?.settings;
}

/**
 * Sets the MAC address, the VLAN, or both of a virtual function. A driver that
 * is bound already may see them only when it is bound anew.
 *
 * @param physical Its physical function.
 * @param index Its number.
 * @param settings What is set.
 * @throws {VfioError} `NOT_SUPPORTED` when no network interface of the physical
 * function has it, or the driver cannot set them; `PERMISSION_DENIED`,
 * `DEVICE_BUSY` when the virtual function is just being reset, `KERNEL`.
 */
export function setVirtualNetwork(
  physical: PciFunction,
  index: number,
  { mac, vlan }: Partial<VirtualNetwork>,
): void {
  const found = readOf(physical, index);
  if (found === undefined) throw unknownToNetwork(physical.address, index);
  const { kernel } = physical.host;
  const info = attribute(
    IFLA_VF_INFO,
    ...mac === undefined ? [] : [attribute(
      IFLA_VF_MAC,
      ifla_vf_mac.alloc({ vf: index, mac: bytesOf(mac) }),
    )],
    ...vlan === undefined ? [] : [attribute(
      IFLA_VF_VLAN_LIST,
      attribute(
        IFLA_VF_VLAN_INFO,
        ifla_vf_vlan_info.alloc({
          vf: index,
          vlan: vlan.id,
          qos: vlan.qos,
          vlan_proto: swapped16(vlan.protocol),
        }),
      ),
    )],
  );
  try {
    request(kernel, RTM_SETLINK, "RTM_SETLINK", found.name, [
      attribute(IFLA_VFINFO_LIST, info),
    ]);
  } catch (error) {
    throw refusal(error, physical, index);
  }
}

/** The interface that has a virtual function, and its settings there. */
function readOf(
  physical: PciFunction,
  index: number,
): { name: string; settings: VirtualNetwork } | undefined {
  const { kernel } = physical.host;
  const mask = Uint32Array.of(RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
  const wanted = attribute(IFLA_EXT_MASK, new Uint8Array(mask.buffer));
  // A card in switchdev mode has further interfaces.
  for (const name of networkInterfaces(physical)) {
    try {
      const answer = request(kernel, RTM_GETLINK, "RTM_GETLINK", name, [
        wanted,
      ]);
      const settings = settingsIn(answer.subarray(ifinfomsg.size), index);
      if (settings !== undefined) return { name, settings };
    } catch (error) {
      // The interface is gone or was renamed.
      if (!hasErrno(error, "ENODEV")) throw refusal(error, physical, index);
    }
  }
  return undefined;
}

function settingsIn(
  attributes: Uint8Array,
  index: number,
): VirtualNetwork | undefined {
  const list = attributeIn(attributes, IFLA_VFINFO_LIST);
  for (const { value } of attributesIn(list ?? new Uint8Array())) {
    const address = attributeIn(value, IFLA_VF_MAC);
    const vlans = attributeIn(value, IFLA_VF_VLAN_LIST);
    const tagged = vlans && attributeIn(vlans, IFLA_VF_VLAN_INFO);
    if (address === undefined || tagged === undefined) continue;
    const { vf, mac } = ifla_vf_mac.decode(address);
    if (vf !== index) continue;
    const { vlan: id, qos, vlan_proto } = ifla_vf_vlan_info.decode(tagged);
    return {
      mac: textOf(mac.subarray(0, MAC_BYTES)),
      vlan: { id, qos, protocol: swapped16(vlan_proto) },
    };
  }
  return undefined;
}

/**
 * Asks the kernel about an interface.
 *
 * @returns What follows the header of the answer; empty for an acknowledgement.
 * @throws {KernelError} What the answer says.
 */
function request(
  kernel: Kernel,
  type: number,
  name: string,
  network: string,
  attributes: readonly Uint8Array[],
): Uint8Array {
  const fd = kernel.socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    const change = type === RTM_SETLINK;
    const asked = linkMessage({
      type,
      flags: NLM_F_REQUEST | (change ? NLM_F_ACK : 0),
      attributes: [
        attribute(IFLA_IFNAME, new TextEncoder().encode(`${network}\0`)),
        ...attributes,
      ],
    });
    kernel.write(fd, asked);
    const answer = new Uint8Array(change ? 4096 : ANSWER_BYTES);
    const length = kernel.read(fd, answer);
    const { nlmsg_type } = nlmsghdr.decode(answer);
    if (nlmsg_type !== NLMSG_ERROR) {
      return answer.subarray(nlmsghdr.size, length);
    }
    const { error } = nlmsgerr.decode(answer, nlmsghdr.size);
    if (error !== 0) throw new KernelError(-error, name, network);
    return new Uint8Array();
  } finally {
    kernel.close(fd);
  }
}

/**
 * The error for a virtual function that no network interface has.
 *
 * @param device The address of its physical function.
 * @param index Its number.
 */
export function unknownToNetwork(device: string, index: number): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device,
    problem: `no network interface of its shows virtual function ${index}`,
    hint: "its driver makes no interface, or one in another network " +
      "namespace, or it is no driver of a network card",
  });
}

/**
 * Explains what an answer means. Returns errors that are not
 * {@linkcode KernelError}s unchanged.
 */
function refusal(
  error: unknown,
  { address: device }: PciFunction,
  index: number,
): unknown {
  if (!(error instanceof KernelError)) return error;
  const who = `virtual function ${index}`;
  const { message } = error;
  if (hasErrno(error, "EPERM", "EACCES")) {
    return new VfioError("PERMISSION_DENIED", {
      device,
      problem: `this user may not set the MAC address or VLAN of ${who}`,
      hint: "run as root: CAP_NET_ADMIN is needed",
      cause: error,
    });
  }
  if (hasErrno(error, "EOPNOTSUPP", "EPROTONOSUPPORT")) {
    return new VfioError("NOT_SUPPORTED", {
      device,
      problem: `its driver cannot set the MAC address or VLAN of ${who}`,
      cause: error,
    });
  }
  if (hasErrno(error, "EAGAIN", "EBUSY")) {
    return new VfioError("DEVICE_BUSY", {
      device,
      problem: `${who} is being reset, and cannot be set meanwhile`,
      hint: "try again",
      cause: error,
    });
  }
  return new VfioError("KERNEL", {
    device,
    problem: `${who}: ${message}`,
    cause: error,
  });
}

function textOf(mac: Uint8Array): string {
  return [...mac].map((byte) => hexDigits(byte, 2)).join(":");
}

/** The address in as many bytes as the longest kind takes. */
function bytesOf(mac: string): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes.set(mac.split(":").map((part) => parseInt(part, 16)));
  return bytes;
}
