import type { ReceivedMessage } from "../../../kernel/kernel.ts";
import { refuse } from "../refusal.ts";
import { SocketEnd } from "../socket_pair.ts";
import { call } from "../system_call.ts";
import { SimMemory } from "./memory.ts";

/** Sockets, which are read and written like files. */
export class SimSockets extends SimMemory {
  socket(domain: number, type: number, protocol: number): number {
    return call(
      "socket",
      undefined,
      () => this.install(this.system.socket(this, domain, type, protocol)),
    );
  }

  bind(fd: number, address: Uint8Array): void {
    call("bind", undefined, () => {
      const { file } = this.descriptors.get(fd);
      if (file.bindAddress === undefined) refuse("ENOTSOCK");
      else file.bindAddress(address);
    });
  }

  socketpair(domain: number, type: number, protocol: number): [number, number] {
    return call("socketpair", undefined, () => {
      const [one, other] = SocketEnd.pair(domain, type, protocol);
      return [this.install(one), this.install(other)];
    });
  }

  sendmsg(fd: number, from: Uint8Array, fds: readonly number[] = []): number {
    return call("sendmsg", undefined, () => {
      const sent = fds.map((sent) => this.descriptors.get(sent));
      return this.#socket(fd).send(from, sent);
    });
  }

  recvmsg(fd: number, into: Uint8Array, limit = 0): ReceivedMessage {
    return call("recvmsg", undefined, () => {
      const { bytes, descriptions } = this.#socket(fd).receive(into);
      for (const lost of descriptions.slice(limit)) lost.release();
      const fds = descriptions.slice(0, limit)
        .map((description) => this.descriptors.install(description));
      return { bytes: bytes.length, fds };
    });
  }

  #socket(fd: number): SocketEnd {
    const { file } = this.descriptors.get(fd);
    return file instanceof SocketEnd ? file : refuse("ENOTSOCK");
  }
}
