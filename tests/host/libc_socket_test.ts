/**
 * Sockets of libc: rtnetlink's answers about the loopback.
 */
import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { KernelError } from "../../lib/kernel/errno.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import {
  attribute,
  attributeIn,
  linkMessage,
} from "../../lib/uapi/linux/netlink_message.ts";
import {
  ifinfomsg,
  IFLA_IFNAME,
  NETLINK_ROUTE,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  nlmsgerr,
  nlmsghdr,
  RTM_GETLINK,
  RTM_NEWLINK,
} from "../../lib/uapi/linux/rtnetlink.ts";
import { AF_NETLINK, SOCK_RAW } from "../../lib/uapi/linux/socket.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

/** Asks about an interface, and returns the answer. */
function ask(name: string): { type: number; body: Uint8Array } {
  const fd = kernel.socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    const text = new TextEncoder().encode(`${name}\0`);
    const message = linkMessage({
      type: RTM_GETLINK,
      flags: NLM_F_REQUEST,
      attributes: [attribute(IFLA_IFNAME, text)],
    });
    assertEquals(kernel.write(fd, message), message.length);
    const answer = new Uint8Array(16384);
    const length = kernel.read(fd, answer);
    const { nlmsg_type: type } = nlmsghdr.decode(answer);
    return { type, body: answer.subarray(nlmsghdr.size, length) };
  } finally {
    kernel.close(fd);
  }
}

Deno.test("socket() opens a netlink socket, which has an answer as soon as a request was written", () => {
  const { type, body } = ask("lo");
  assertEquals(type, RTM_NEWLINK);
  const name = attributeIn(body.subarray(ifinfomsg.size), IFLA_IFNAME);
  assertEquals(new TextDecoder().decode(name), "lo\0");
  assertGreater(ifinfomsg.decode(body).ifi_index, 0);
  const ENODEV = 19;
  const unknown = ask("none_such");
  assertEquals(unknown.type, NLMSG_ERROR);
  assertEquals(nlmsgerr.decode(unknown.body).error, -ENODEV);
});

Deno.test("socket() throws the errno when there is no such domain", () => {
  const error = assertThrows(() => kernel.socket(99, SOCK_RAW, 0), KernelError);
  assertEquals([error.code, error.syscall], ["EAFNOSUPPORT", "socket"]);
});
