import {
  cmsghdr,
  iovec,
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  msghdr,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOL_SOCKET,
} from "../../uapi/linux/socket.ts";
import type { Kernel, ReceivedMessage } from "../kernel.ts";
import { errno, fail, lazily, pinned } from "./library.ts";
import { LibcMemory } from "./memory.ts";

const MESSAGE = {
  parameters: [
    "i32", // int sockfd
    "buffer", // struct msghdr *msg
    "i32", // int flags
  ],
  result: "isize",
} as const satisfies Deno.ForeignFunction;

const sockets = lazily({
  socket: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
    ],
    result: "i32",
  },
  bind: {
    parameters: [
      "i32", // int sockfd
      "buffer", // const struct sockaddr *addr
      "u32", // socklen_t addrlen
    ],
    result: "i32",
  },
  socketpair: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
      "buffer", // int sv[2]
    ],
    result: "i32",
  },
  sendmsg: MESSAGE,
  recvmsg: MESSAGE,
});

/** Sockets, which are read and written like files. */
export class LibcSockets extends LibcMemory {
  socket(domain: number, type: number, protocol: number): number {
    const fd = sockets().socket(domain, type | SOCK_CLOEXEC, protocol);
    return fd < 0 ? fail(errno[0]!, "socket") : fd;
  }

  bind(fd: number, address: Uint8Array): void {
    const result = sockets().bind(fd, pinned(address), address.length);
    if (result < 0) fail(errno[0]!, "bind");
  }

  socketpair(domain: number, type: number, protocol: number): [number, number] {
    const pair = new Int32Array(2);
    const all = type | SOCK_CLOEXEC;
    const result = sockets().socketpair(domain, all, protocol, pair);
    if (result < 0) fail(errno[0]!, "socketpair");
    return [pair[0]!, pair[1]!];
  }

  sendmsg(fd: number, from: Uint8Array, fds: readonly number[] = []): number {
    const message = Message.toSend(this, from, fds);
    const bytes = sockets().sendmsg(fd, message.header, MSG_NOSIGNAL);
    return bytes < 0 ? fail(errno[0]!, "sendmsg") : message.sent(bytes);
  }

  recvmsg(fd: number, into: Uint8Array, limit = 0): ReceivedMessage {
    const message = Message.toReceive(this, into, limit);
    const bytes = sockets().recvmsg(fd, message.header, MSG_CMSG_CLOEXEC);
    return bytes < 0 ? fail(errno[0]!, "recvmsg") : message.received(bytes);
  }
}

type Addresses = Pick<Kernel, "addressOf">;

/** Bytes of a descriptor in a control message. */
const FD_BYTES = 4;

/** Control messages begin at multiples of it (`CMSG_ALIGN`). */
const ALIGNMENT = 8;

/**
 * A message with descriptors. Its parts refer to each other by address, so it
 * has to be referenced until the call is over: {@linkcode Message.received} and
 * {@linkcode Message.sent} are called after it.
 */
class Message {
  readonly #bytes: Uint8Array;
  readonly #vector: Uint8Array<ArrayBuffer>;
  readonly #control: Uint8Array<ArrayBuffer>;
  /** The `msghdr`. */
  readonly header: Uint8Array<ArrayBuffer>;

  private constructor(
    kernel: Addresses,
    bytes: Uint8Array,
    control: Uint8Array<ArrayBuffer>,
  ) {
    this.#bytes = bytes;
    this.#control = control;
    this.#vector = iovec.alloc({
      iov_base: kernel.addressOf(bytes),
      iov_len: BigInt(bytes.length),
    });
    this.header = msghdr.alloc({
      msg_iov: kernel.addressOf(this.#vector),
      msg_iovlen: 1n,
      ...(control.length > 0 && {
        msg_control: kernel.addressOf(control),
        msg_controllen: BigInt(control.length),
      }),
    });
  }

  /**
   * A message to be sent.
   *
   * @param kernel Tells the addresses of buffers.
   * @param bytes The message.
   * @param fds The descriptors.
   */
  static toSend(
    kernel: Addresses,
    bytes: Uint8Array,
    fds: readonly number[],
  ): Message {
    const control = new Uint8Array(fds.length === 0 ? 0 : space(fds.length));
    if (fds.length > 0) {
      cmsghdr.encode(control, {
        cmsg_len: BigInt(cmsghdr.size + fds.length * FD_BYTES),
        cmsg_level: SOL_SOCKET,
        cmsg_type: SCM_RIGHTS,
      });
      new Int32Array(control.buffer, cmsghdr.size, fds.length).set(fds);
    }
    return new Message(kernel, bytes, control);
  }

  /**
   * Room for a message.
   *
   * @param kernel Tells the addresses of buffers.
   * @param into Takes the message.
   * @param limit The most descriptors that are taken.
   */
  static toReceive(
    kernel: Addresses,
    into: Uint8Array,
    limit: number,
  ): Message {
    const control = new Uint8Array(limit === 0 ? 0 : space(limit));
    return new Message(kernel, into, control);
  }

  /** How many bytes were sent. */
  sent(bytes: bigint): number {
    return Math.min(Number(bytes), this.#bytes.length);
  }

  /** What was received. */
  received(bytes: bigint): ReceivedMessage {
    const { msg_controllen } = msghdr.decode(this.header);
    const fds = [...descriptors(this.#control, Number(msg_controllen))];
    return { bytes: Number(bytes), fds };
  }
}

function* descriptors(
  control: Uint8Array<ArrayBuffer>,
  length: number,
): Generator<number> {
  for (let at = 0; at + cmsghdr.size <= length;) {
    const { cmsg_len, cmsg_level, cmsg_type } = cmsghdr.decode(control, at);
    const end = at + Number(cmsg_len);
    if (cmsg_level === SOL_SOCKET && cmsg_type === SCM_RIGHTS) {
      const count = (end - at - cmsghdr.size) / FD_BYTES;
      yield* new Int32Array(control.buffer, at + cmsghdr.size, count);
    }
    at = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
  }
}

/** Bytes of a control message with descriptors (`CMSG_SPACE`). */
function space(count: number): number {
  const bytes = cmsghdr.size + count * FD_BYTES;
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
