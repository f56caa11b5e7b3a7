import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "../../../lib/kernel/errno.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import {
  attribute,
  attributeIn,
  attributesIn,
  linkMessage,
} from "../../../lib/uapi/linux/netlink_message.ts";
import {
  ETH_P_8021Q,
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
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
} from "../../../lib/uapi/linux/rtnetlink.ts";
import { AF_NETLINK, SOCK_RAW } from "../../../lib/uapi/linux/socket.ts";

const PF = "0000:01:00.0";

function machine() {
  const host = simulate({
    functions: {
      [PF]: {
        id: "8086:10c9",
        class: 0x020000,
        driver: "igb",
        network: "eth0",
        sriov: { total: 7, enabled: 2, id: "8086:10ca" },
      },
      "0000:02:00.0": { id: "8086:10d3", driver: "e1000e", network: "eth1" },
    },
  });
  return { host, kernel: host.kernel };
}

/**
 * Sends a request, and returns the type, errno and attributes of the answer.
 */
function ask(kernel: Kernel, message: Uint8Array) {
  const fd = kernel.socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    assertEquals(kernel.write(fd, message), message.length);
    const answer = new Uint8Array(8192);
    const length = kernel.read(fd, answer);
    const { nlmsg_type: type, nlmsg_len, nlmsg_seq } = nlmsghdr.decode(answer);
    assertEquals(nlmsg_len, length);
    return {
      type,
      sequence: nlmsg_seq,
      error: type === NLMSG_ERROR
        ? nlmsgerr.decode(answer, nlmsghdr.size).error
        : 0,
      attributes: answer.subarray(nlmsghdr.size + ifinfomsg.size, length),
    };
  } finally {
    kernel.close(fd);
  }
}

const named = (name: string) =>
  attribute(IFLA_IFNAME, new TextEncoder().encode(`${name}\0`));

function get(kernel: Kernel, name: string, mask = 1) {
  return ask(
    kernel,
    linkMessage({
      type: RTM_GETLINK,
      flags: NLM_F_REQUEST,
      sequence: 7,
      attributes: [
        named(name),
        attribute(IFLA_EXT_MASK, Uint8Array.of(mask, 0, 0, 0)),
      ],
    }),
  );
}

function set(kernel: Kernel, name: string, ...what: readonly Uint8Array[]) {
  return ask(
    kernel,
    linkMessage({
      type: RTM_SETLINK,
      flags: NLM_F_REQUEST | NLM_F_ACK,
      attributes: [
        named(name),
        attribute(IFLA_VFINFO_LIST, attribute(IFLA_VF_INFO, ...what)),
      ],
    }),
  ).error;
}

function address(vf: number, first: number): Uint8Array {
  const mac = new Uint8Array(32);
  mac[0] = first;
  return attribute(IFLA_VF_MAC, ifla_vf_mac.alloc({ vf, mac }));
}

function tagged(vf: number, vlan: number, qos = 0, proto = ETH_P_8021Q) {
  const vlan_proto = (proto & 0xff) << 8 | proto >> 8;
  return attribute(
    IFLA_VF_VLAN_LIST,
    attribute(
      IFLA_VF_VLAN_INFO,
      ifla_vf_vlan_info.alloc({ vf, vlan, qos, vlan_proto }),
    ),
  );
}

Deno.test("A simulated network interface returns its virtual functions when they are requested", () => {
  const { kernel } = machine();
  const answer = get(kernel, "eth0");
  assertEquals([answer.type, answer.sequence], [RTM_NEWLINK, 7]);
  const list = attributeIn(answer.attributes, IFLA_VFINFO_LIST)!;
  const infos = attributesIn(list).map(({ value }) =>
    ifla_vf_mac.decode(attributeIn(value, IFLA_VF_MAC)!).vf
  );
  assertEquals(infos, [0, 1]);
  const untold = get(kernel, "eth0", 0);
  assertEquals(attributeIn(untold.attributes, IFLA_VFINFO_LIST), undefined);
  const none = get(kernel, "eth1");
  assertEquals(attributeIn(none.attributes, IFLA_VFINFO_LIST), undefined);
});

Deno.test("A simulated network interface refuses the same requests as the kernel", () => {
  const { host, kernel } = machine();
  const ENODEV = -19;
  const EINVAL = -22;
  const EOPNOTSUPP = -95;
  assertEquals(get(kernel, "eth9").error, ENODEV);
  assertEquals(
    ask(kernel, linkMessage({ type: RTM_GETLINK, flags: NLM_F_REQUEST })).error,
    EINVAL,
  );
  assertEquals(
    ask(kernel, linkMessage({ type: 900, flags: NLM_F_REQUEST })).error,
    EOPNOTSUPP,
  );
  assertEquals(set(kernel, "eth0", address(1, 0x52), tagged(1, 5)), 0);
  assertEquals(set(kernel, "eth0", address(2, 0x52)), EINVAL);
  assertEquals(set(kernel, "eth0", address(0, 0x53)), EINVAL);
  assertEquals(set(kernel, "eth0", tagged(0, 4096)), EINVAL);
  assertEquals(set(kernel, "eth0", tagged(0, 1, 8)), EINVAL);
  const EPROTONOSUPPORT = -93;
  assertEquals(set(kernel, "eth0", tagged(0, 1, 0, 0x88a8)), EPROTONOSUPPORT);
  assertEquals(set(kernel, "eth1", address(0, 0x52)), EOPNOTSUPP);
  const user = host.machine.spawn({ uid: 1000 });
  const EPERM = -1;
  assertEquals(set(user, "eth0", address(0, 0x52)), EPERM);
  assertEquals(get(user, "eth0").type, RTM_NEWLINK);
});

Deno.test("A simulated network interface exists when a host driver has the function", () => {
  const { kernel } = machine();
  const list = () => kernel.readdir("/sys/class/net");
  assertEquals(list(), ["eth0", "eth1"]);
  assertEquals(kernel.readdir(`/sys/bus/pci/devices/${PF}/net`), ["eth0"]);
  kernel.writeFile("/sys/bus/pci/drivers/e1000e/unbind", "0000:02:00.0");
  assertEquals(list(), ["eth0"]);
  assertEquals(get(kernel, "eth1").error, -19);
});

Deno.test("socket() fails like Linux when there is no such socket", () => {
  const { kernel } = machine();
  const code = (...args: [number, number, number]) =>
    assertThrows(() => kernel.socket(...args), KernelError).code;
  assertEquals(code(2, SOCK_RAW, 0), "EAFNOSUPPORT");
  assertEquals(code(AF_NETLINK, 1, 0), "ESOCKTNOSUPPORT");
  assertEquals(code(AF_NETLINK, SOCK_RAW, 99), "EPROTONOSUPPORT");
});
