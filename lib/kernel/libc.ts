/**
 * The operating system by way of libc: with the modules below `libc/`, the one
 * place that calls `Deno.dlopen`.
 *
 * sysfs and the device nodes go through libc too, so that a script needs
 * `--allow-ffi` and nothing else: `Deno.*` calls on `/sys`, `/dev` and `/proc`
 * demand every permission at once.
 *
 * @module
 */

import { EFD_NONBLOCK } from "../uapi/linux/eventfd.ts";
import {
  F_DUPFD_CLOEXEC,
  O_CLOEXEC,
  O_RDONLY,
  O_WRONLY,
} from "../uapi/linux/fcntl.ts";
import type { Ioctl } from "../uapi/ioctl.ts";
import { pollfd, POLLIN } from "../uapi/linux/poll.ts";
import { errnoNumber } from "./errno.ts";
import type {
  EventSource,
  Kernel,
  PollRequest,
  ProgramResult,
} from "./kernel.ts";
import { type SignalOptions, untilAborted } from "./abort.ts";
import { EventCounts } from "./event_counts.ts";
import { BlockingCalls } from "./libc/blocking.ts";
import { ChildCalls } from "./libc/child.ts";
import { loadMachineCode, type MachineCode } from "./libc/code.ts";
import { SCRATCH_BYTES } from "./libc/files.ts";
import { errno, fail, lazily, pinned, succeeded } from "./libc/library.ts";
import { LibcSockets } from "./libc/sockets.ts";
import { eventfds, Watcher } from "./libc/watch.ts";

const devices = lazily({
  ioctl: {
    parameters: [
      "i32", // int fd
      "u32", // unsigned long request, all of VFIO's are below 2^32
      "buffer", // void *argp
    ],
    result: "i32",
  },
  // Without a third argument the kernel reads whatever its register holds.
  ioctl_value: {
    name: "ioctl",
    parameters: [
      "i32", // int fd
      "u32", // unsigned long request
      "usize", // unsigned long arg
    ],
    result: "i32",
  },
});

const regions = lazily({
  pread: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize",
  },
  pwrite: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize",
  },
});

const descriptors = lazily({
  fcntl: {
    parameters: [
      "i32", // int fd
      "i32", // int cmd
      "i32", // int arg, the variadic argument
    ],
    result: "i32",
  },
});

const EINTR = errnoNumber("EINTR");

/** How many bytes a register has, so that an access makes no bigint of it. */
const COUNTS = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n];

/** What is written to an eventfd to count one. */
const ONE = new Uint8Array(BigUint64Array.of(1n).buffer);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The running system: what is done with devices, and what can block. The
 * classes that it extends have the rest. Nothing is loaded before the first
 * call.
 */
export class LibcKernel extends LibcSockets implements Kernel {
  #lazyCode: MachineCode | undefined;
  #lazyBlocking: BlockingCalls | undefined;
  #lazyChild: ChildCalls | undefined;
  #lazyWatcher: Watcher | undefined;

  get #code(): MachineCode {
    return this.#lazyCode ??= loadMachineCode();
  }

  get #blocking(): BlockingCalls {
    return this.#lazyBlocking ??= new BlockingCalls(this.#code);
  }

  get #child(): ChildCalls {
    return this.#lazyChild ??= new ChildCalls(this.#code, this.#blocking);
  }

  get #watcher(): Watcher {
    return this.#lazyWatcher ??= new Watcher(this.#code);
  }

  async closeAsync(fd: number): Promise<void> {
    succeeded(await this.#blocking.close(fd), "close");
  }

  ioctl(
    fd: number,
    operation: Ioctl,
    argument: Uint8Array | bigint = 0n,
  ): number {
    const result = typeof argument === "bigint"
      ? devices().ioctl_value(fd, operation.request, argument)
      : devices().ioctl(fd, operation.request, pinned(argument));
    return result < 0 ? fail(errno[0]!, operation.name) : result;
  }

  async ioctlAsync(
    fd: number,
    operation: Ioctl,
    argument: Uint8Array | bigint = 0n,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    signal?.throwIfAborted();
    const result = this.#blocking.ioctl(
      fd,
      operation.request,
      typeof argument === "bigint" ? argument : pinned(argument),
    );
    return succeeded(await untilAborted(result, signal), operation.name);
  }

  async readAsync(
    fd: number,
    into: Uint8Array,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    signal?.throwIfAborted();
    const read = this.#blocking.read(fd, pinned(into));
    return succeeded(await untilAborted(read, signal), "read");
  }

  async writeAsync(
    fd: number,
    from: Uint8Array,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    signal?.throwIfAborted();
    const written = this.#blocking.write(fd, pinned(from));
    return succeeded(await untilAborted(written, signal), "write");
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    const count = COUNTS[into.length] ?? BigInt(into.length);
    const bytes = regions().pread(fd, pinned(into), count, offset);
    return bytes < 0 ? fail(errno[0]!, "pread") : Number(bytes);
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    const count = COUNTS[from.length] ?? BigInt(from.length);
    const bytes = regions().pwrite(fd, pinned(from), count, offset);
    return bytes < 0 ? fail(errno[0]!, "pwrite") : Number(bytes);
  }

  fcntl(fd: number, command: number, argument = 0): number {
    const result = descriptors().fcntl(fd, command, argument);
    return result < 0 ? fail(errno[0]!, "fcntl") : result;
  }

  eventfd(initial: number, flags: number): number {
    const fd = eventfds().eventfd(initial, flags | O_CLOEXEC);
    return fd < 0 ? fail(errno[0]!, "eventfd") : fd;
  }

  async pollAsync(
    requests: readonly PollRequest[],
    timeout: number,
    { signal }: SignalOptions = {},
  ): Promise<number[]> {
    signal?.throwIfAborted();
    // Ends the call when it is given up, so that its thread is free again.
    const stop = signal && this.eventfd(0, EFD_NONBLOCK);
    const abort = () => {
      try {
        this.write(stop!, ONE);
      } catch {
        // It counts already: an error in a listener would end the process.
      }
    };
    signal?.addEventListener("abort", abort);
    try {
      const all = stop === undefined
        ? requests
        : [...requests, { fd: stop, events: POLLIN }];
      const events = await this.#poll(all, timeout);
      signal?.throwIfAborted();
      return events.slice(0, requests.length);
    } finally {
      signal?.removeEventListener("abort", abort);
      if (stop !== undefined) this.close(stop);
    }
  }

  async #poll(
    requests: readonly PollRequest[],
    timeout: number,
  ): Promise<number[]> {
    const fds = new Uint8Array(requests.length * pollfd.size);
    for (const [i, { fd, events }] of requests.entries()) {
      pollfd.encode(fds, { fd, events }, i * pollfd.size);
    }
    const seconds = Math.trunc(timeout / 1000);
    const limit = timeout < 0 ? null : BigInt64Array.of(
      BigInt(seconds),
      BigInt((timeout - seconds * 1000) * 1_000_000),
    );
    const result = await this.#blocking.poll(fds, requests.length, limit);
    // A signal can end the wait early, with none ready.
    if (result !== -EINTR) succeeded(result, "ppoll");
    return requests.map((_, i) => pollfd.decode(fds, i * pollfd.size).revents);
  }

  watch(
    fd: number,
    { signal }: SignalOptions = {},
  ): AsyncIterableIterator<number> {
    signal?.throwIfAborted();
    // One of its own: the number could become that of another file.
    const own = this.fcntl(fd, F_DUPFD_CLOEXEC, 0);
    try {
      const source = this.#watcher.add(own);
      return new EventCounts({
        ...source,
        release: () => {
          const released = source.release();
          this.close(own);
          return released;
        },
      }, signal);
    } catch (error) {
      this.close(own);
      throw error;
    }
  }

  eventSource(fd: number): EventSource {
    return this.#watcher.add(fd);
  }

  async readFileAsync(
    path: string,
    { signal }: SignalOptions = {},
  ): Promise<string> {
    signal?.throwIfAborted();
    const bytes = new Uint8Array(SCRATCH_BYTES);
    const fd = this.open(path, O_RDONLY);
    const reading = this.#child.read(fd, bytes)
      .finally(() => this.close(fd));
    const count = succeeded(await untilAborted(reading, signal), "read", path);
    return decoder.decode(bytes.subarray(0, count));
  }

  async writeFileAsync(
    path: string,
    text: string,
    { signal }: SignalOptions = {},
  ): Promise<void> {
    signal?.throwIfAborted();
    const fd = this.open(path, O_WRONLY);
    const writing = this.#child.write(fd, encoder.encode(text))
      .finally(() => this.close(fd));
    succeeded(await untilAborted(writing, signal), "write", path);
  }

  async runAsync(
    program: string,
    args: readonly string[],
    options: SignalOptions = {},
  ): Promise<ProgramResult> {
    // Few scripts run programs.
    const { runProgram } = await import("./libc/program.ts");
    options.signal?.throwIfAborted();
    return await runProgram(this, this.#blocking, program, args, options);
  }
}
