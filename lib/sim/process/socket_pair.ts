import { POLLHUP, POLLIN, POLLOUT } from "../../uapi/linux/poll.ts";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM } from "../../uapi/linux/socket.ts";
import type { OpenFile } from "../fs/file.ts";
import type { Description } from "./descriptors.ts";
import { refuse } from "./refusal.ts";

/** What was sent and not received yet. */
interface Message {
  readonly bytes: Uint8Array;
  /** Openings that came with it; the message keeps them open. */
  readonly descriptions: readonly Description[];
}

/** One end of a pair of connected sockets (`net/unix/af_unix.c`). */
export class SocketEnd implements OpenFile {
  readonly linkText = "socket:[1]";
  readonly #stream: boolean;
  readonly #messages: Message[] = [];
  readonly #waiters = new Set<() => void>();
  #peer: SocketEnd | undefined;

  private constructor(stream: boolean) {
    this.#stream = stream;
  }

  /** Makes both ends. */
  static pair(
    domain: number,
    type: number,
    protocol: number,
  ): [SocketEnd, SocketEnd] {
    if (domain !== AF_UNIX) refuse("EOPNOTSUPP");
    if (protocol !== 0) refuse("EPROTONOSUPPORT");
    const stream = (type & ~SOCK_CLOEXEC) === SOCK_STREAM;
    const one = new SocketEnd(stream);
    const other = new SocketEnd(stream);
    one.#peer = other;
    other.#peer = one;
    return [one, other];
  }

  /** Sends bytes, and openings with them. */
  send(from: Uint8Array, descriptions: readonly Description[]): number {
    const peer = this.#peer ?? refuse("EPIPE");
    for (const description of descriptions) description.hold();
    peer.#messages.push({ bytes: from.slice(), descriptions });
    peer.#wake();
    return from.length;
  }

  /** Receives bytes, and the openings that came with them. */
  receive(into: Uint8Array): Message {
    const first = this.#messages.shift();
    if (first === undefined) {
      if (this.#peer === undefined) return NOTHING;
      throw new Error(WOULD_BLOCK);
    }
    const bytes = first.bytes.subarray(0, into.length);
    into.set(bytes);
    const rest = first.bytes.subarray(bytes.length);
    if (this.#stream && rest.length > 0) {
      this.#messages.unshift({ bytes: rest, descriptions: [] });
    }
    return { bytes, descriptions: first.descriptions };
  }

  read(into: Uint8Array): number {
    const { bytes, descriptions } = this.receive(into);
    for (const description of descriptions) description.release();
    return bytes.length;
  }

  write(from: Uint8Array): number {
    return this.send(from, []);
  }

  poll(changed: () => void): number {
    this.#waiters.add(changed);
    const readable = this.#messages.length > 0 || this.#peer === undefined;
    return POLLOUT | (readable ? POLLIN : 0) |
      (this.#peer === undefined ? POLLHUP : 0);
  }

  close(): void {
    for (const { descriptions } of this.#messages) {
      for (const description of descriptions) description.release();
    }
    const peer = this.#peer;
    this.#peer = undefined;
    if (peer === undefined) return;
    peer.#peer = undefined;
    peer.#wake();
  }

  #wake(): void {
    for (const changed of this.#waiters) changed();
    this.#waiters.clear();
  }
}

const NOTHING: Message = { bytes: new Uint8Array(), descriptions: [] };

const WOULD_BLOCK = "A real process would block in this call: wait for the " +
  "socket with pollAsync";
