/**
 * The calls of a simulated process. What they are about is in a module each,
 * in `calls/`.
 *
 * @module
 */

import { type SignalOptions, untilAborted } from "../../kernel/abort.ts";
import { EventCounts, readCount } from "../../kernel/event_counts.ts";
import type {
  EventSource,
  Kernel,
  PollRequest,
  ProgramResult,
} from "../../kernel/kernel.ts";
import {
  F_DUPFD_CLOEXEC,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  FD_CLOEXEC,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
} from "../../uapi/linux/fcntl.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
} from "../../uapi/linux/poll.ts";
import { SimSockets } from "./calls/sockets.ts";
import { EventFile } from "./event_file.ts";
import { refuse } from "./refusal.ts";
import { assertImmediate, call, callAsync, settled } from "./system_call.ts";

/**
 * A process on a simulated machine, and the {@linkcode Kernel} of its calls:
 * what is done with devices, and what can block. The classes that it extends
 * have the rest.
 */
export class SimKernel extends SimSockets implements Kernel {
  async closeAsync(fd: number): Promise<void> {
    await settled();
    this.close(fd);
  }

  ioctl(
    fd: number,
    operation: Ioctl,
    argument: Uint8Array | bigint = 0n,
  ): number {
    return call(operation.name, undefined, () => {
      const { file } = this.descriptors.get(fd);
      if (file.ioctl === undefined) return refuse("ENOTTY");
      return assertImmediate(file.ioctl(operation, argument, this));
    });
  }

  async ioctlAsync(
    fd: number,
    operation: Ioctl,
    argument: Uint8Array | bigint = 0n,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    signal?.throwIfAborted();
    await settled();
    const done = callAsync(operation.name, undefined, () => {
      const { file } = this.descriptors.get(fd);
      return file.ioctl?.(operation, argument, this) ?? refuse("ENOTTY");
    });
    return await untilAborted(done, signal);
  }

  async readAsync(
    fd: number,
    into: Uint8Array,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    signal?.throwIfAborted();
    await untilAborted(this.#until(fd, POLLIN), signal);
    return this.read(fd, into);
  }

  async writeAsync(
    fd: number,
    from: Uint8Array,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    signal?.throwIfAborted();
    await untilAborted(this.#until(fd, POLLOUT), signal);
    return await callAsync(
      "write",
      undefined,
      () => this.descriptors.toWrite(fd).write?.(from) ?? refuse("EINVAL"),
    );
  }

  async #until(fd: number, events: number): Promise<void> {
    await settled();
    await this.pollAsync([{ fd, events }], -1);
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    return call(
      "pread",
      undefined,
      () =>
        this.descriptors.toRead(fd).pread?.(into, offset) ?? refuse("EINVAL"),
    );
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return call(
      "pwrite",
      undefined,
      () =>
        this.descriptors.toWrite(fd).pwrite?.(from, offset) ?? refuse("EINVAL"),
    );
  }

  fcntl(fd: number, command: number, argument = 0): number {
    return call("fcntl", undefined, () => {
      const description = this.descriptors.get(fd);
      switch (command) {
        case F_DUPFD_CLOEXEC:
          description.hold();
          return this.descriptors.install(description, argument);
        // Every descriptor is closed by execve, of which there is none.
        case F_GETFD:
          return FD_CLOEXEC;
        case F_SETFD:
          return 0;
        case F_GETFL:
          return description.flags & ~O_CLOEXEC;
        default:
          return refuse("EINVAL");
      }
    });
  }

  eventfd(initial: number, flags: number): number {
    const file = new EventFile(initial, flags);
    return this.install(file, O_RDWR | flags & O_NONBLOCK);
  }

  async pollAsync(
    requests: readonly PollRequest[],
    timeout: number,
    { signal }: SignalOptions = {},
  ): Promise<number[]> {
    signal?.throwIfAborted();
    const { promise: changed, resolve: change } = Promise.withResolvers<void>();
    const ready = () =>
      requests.map(({ fd, events }) => {
        const file = this.descriptors.find(fd)?.file;
        if (file === undefined) return POLLNVAL;
        return (file.poll?.(change) ?? POLLIN | POLLOUT) &
          (events | POLLERR | POLLHUP);
      });
    const now = ready();
    if (now.some((events) => events !== 0) || timeout === 0) return now;
    const timer = timeout < 0 ? undefined : setTimeout(change, timeout);
    try {
      await untilAborted(changed, signal);
    } finally {
      clearTimeout(timer);
    }
    return ready();
  }

  watch(
    fd: number,
    { signal }: SignalOptions = {},
  ): AsyncIterableIterator<number> {
    signal?.throwIfAborted();
    const own = this.fcntl(fd, F_DUPFD_CLOEXEC);
    const source = this.eventSource(own);
    return new EventCounts({
      ...source,
      release: () => {
        source.release();
        this.close(own);
      },
    }, signal);
  }

  eventSource(fd: number): EventSource {
    call("epoll_ctl", undefined, () => this.descriptors.toRead(fd));
    let armed: { readonly ready: () => void } | undefined;
    const disarm = () => void (armed = undefined);
    return {
      arm: (ready) => {
        const mine = armed = { ready };
        this.#until(fd, POLLIN).then(() => {
          if (armed !== mine) return;
          armed = undefined;
          ready();
        });
      },
      disarm,
      read: () => readCount(this, fd),
      release: disarm,
    };
  }

  async runAsync(
    program: string,
    args: readonly string[],
    { signal }: SignalOptions = {},
  ): Promise<ProgramResult> {
    signal?.throwIfAborted();
    await settled();
    return call(
      "posix_spawn",
      program,
      () => this.system.run(this, program, args),
    );
  }
}
