import {
  cmsghdr,
  iovec,
  msghdr,
  SCM_RIGHTS,
  SOL_SOCKET,
} from "../uapi/linux/socket.ts";
import type { Kernel, ReceivedMessage } from "./kernel.ts";

/** Bytes of a descriptor in a control message. */
const FD_BYTES = 4;

/** Control messages begin at multiples of it (`CMSG_ALIGN`). */
const ALIGNMENT = 8;

/**
 * A message with descriptors. Its parts refer to each other by address, so it
 * has to be referenced until the call is over: {@linkcode Message.received} and
 * {@linkcode Message.sent} are called after it.
 */
export class Message {
  readonly #bytes: Uint8Array;
  readonly #vector: Uint8Array<ArrayBuffer>;
  readonly #control: Uint8Array<ArrayBuffer>;
  /** The `msghdr`. */
  readonly header: Uint8Array<ArrayBuffer>;

  private constructor(
    kernel: Kernel,
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
    kernel: Kernel,
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
  static toReceive(kernel: Kernel, into: Uint8Array, limit: number): Message {
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
