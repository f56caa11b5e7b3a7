/**
 * The operating system by way of libc: the one place that calls `Deno.dlopen`.
 *
 * sysfs and the device nodes go through libc too, so that a script needs
 * `--allow-ffi` and nothing else: `Deno.*` calls on `/sys`, `/dev` and `/proc`
 * demand every permission at once.
 *
 * @module
 */

import { linux_dirent64 } from "../uapi/linux/dirent.ts";
import { EFD_NONBLOCK } from "../uapi/linux/eventfd.ts";
import {
  F_DUPFD_CLOEXEC,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  O_WRONLY,
} from "../uapi/linux/fcntl.ts";
import type { Ioctl } from "../uapi/ioctl.ts";
import {
  MADV_DONTFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PROT_NONE,
} from "../uapi/linux/mman.ts";
import { MFD_CLOEXEC } from "../uapi/linux/memfd.ts";
import { pollfd, POLLIN } from "../uapi/linux/poll.ts";
import {
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
} from "../uapi/linux/socket.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  statx as statxLayout,
  STATX_BASIC_STATS,
} from "../uapi/linux/statx.ts";
import { errnoNumber, KernelError } from "./errno.ts";
import type {
  EventSource,
  FileStatus,
  Kernel,
  Mapping,
  PollRequest,
  ReceivedMessage,
} from "./kernel.ts";
import { type SignalOptions, untilAborted } from "./abort.ts";
import { EventCounts } from "./event_counts.ts";
import { BlockingCalls } from "./libc_blocking.ts";
import { ChildCalls } from "./libc_child.ts";
import { loadMachineCode, type MachineCode } from "./libc_code.ts";
import { Message } from "./libc_message.ts";
import {
  ANONYMOUS,
  CHILD,
  CODE,
  DEVICES,
  FILES,
  PROCESS,
  SOCKETS,
  TREE,
  WATCH,
} from "./libc_symbols.ts";
import { Watcher } from "./libc_watch.ts";

function load<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Deno.DynamicLibrary<S>["symbols"] {
  return Deno.dlopen("libc.so.6", symbols).symbols;
}

const EINTR = errnoNumber("EINTR");
const ENOENT = errnoNumber("ENOENT");
const EBADF = errnoNumber("EBADF");

/** How many bytes a register has, so that an access makes no bigint of it. */
const COUNTS = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n];

/** What is written to an eventfd to count one. */
const ONE = new Uint8Array(BigUint64Array.of(1n).buffer);

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Larger than any attribute: sysfs's are one page. */
const SCRATCH_BYTES = 64 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`A path has no NUL: ${JSON.stringify(text)}`);
  }
  return encoder.encode(text + "\0");
}

/**
 * The running system. Nothing is loaded before the first call; each group of
 * functions is loaded by the first call that needs it, since each costs a
 * fraction of a millisecond.
 */
export class LibcKernel implements Kernel {
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);
  #lazyProcess: Deno.DynamicLibrary<typeof PROCESS>["symbols"] | undefined;
  #lazyFiles: Deno.DynamicLibrary<typeof FILES>["symbols"] | undefined;
  #lazyTree: Deno.DynamicLibrary<typeof TREE>["symbols"] | undefined;
  #lazyDevices: Deno.DynamicLibrary<typeof DEVICES>["symbols"] | undefined;
  #lazySockets: Deno.DynamicLibrary<typeof SOCKETS>["symbols"] | undefined;
  #lazyAnonymous: Deno.DynamicLibrary<typeof ANONYMOUS>["symbols"] | undefined;
  #lazyCode: MachineCode | undefined;
  #lazyBlocking: BlockingCalls | undefined;
  #lazyChild: ChildCalls | undefined;
  #lazyWatcher: Watcher | undefined;
  /** Buffers that were detached here, not transferred by others. */
  readonly #emptied = new WeakSet<ArrayBuffer>();
  #lazyErrno: Int32Array | undefined;
  #lazyPageSize: number | undefined;

  get #process(): Deno.DynamicLibrary<typeof PROCESS>["symbols"] {
    return this.#lazyProcess ??= load(PROCESS);
  }

  get #files(): Deno.DynamicLibrary<typeof FILES>["symbols"] {
    this.#lazyErrno ??= this.#errnoView();
    return this.#lazyFiles ??= load(FILES);
  }

  get #tree(): Deno.DynamicLibrary<typeof TREE>["symbols"] {
    this.#lazyErrno ??= this.#errnoView();
    return this.#lazyTree ??= load(TREE);
  }

  get #devices(): Deno.DynamicLibrary<typeof DEVICES>["symbols"] {
    this.#lazyErrno ??= this.#errnoView();
    return this.#lazyDevices ??= load(DEVICES);
  }

  get #sockets(): Deno.DynamicLibrary<typeof SOCKETS>["symbols"] {
    this.#lazyErrno ??= this.#errnoView();
    return this.#lazySockets ??= load(SOCKETS);
  }

  get #anonymous(): Deno.DynamicLibrary<typeof ANONYMOUS>["symbols"] {
    this.#lazyErrno ??= this.#errnoView();
    return this.#lazyAnonymous ??= load(ANONYMOUS);
  }

  get #code(): MachineCode {
    return this.#lazyCode ??= loadMachineCode(load(CODE));
  }

  get #blocking(): BlockingCalls {
    return this.#lazyBlocking ??= new BlockingCalls(this.#code);
  }

  get #child(): ChildCalls {
    return this.#lazyChild ??= new ChildCalls(
      load(CHILD),
      this.#code,
      this.#blocking,
    );
  }

  get #watcher(): Watcher {
    this.#lazyErrno ??= this.#errnoView();
    return this.#lazyWatcher ??= new Watcher(
      load(WATCH),
      this.#code,
      (syscall) => fail(this.#lazyErrno![0]!, syscall),
    );
  }

  // errno is loaded from memory right after the failed call: its address stays
  // the same for a thread. Any function call in between could make V8 compile
  // or collect garbage, whose own system calls would overwrite errno.
  #errnoView(): Int32Array {
    const pointer = this.#process.__errno_location()!;
    return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, 4));
  }

  get pageSize(): number {
    return this.#lazyPageSize ??= this.#process.getpagesize();
  }

  open(path: string, flags: number, mode = 0o644): number {
    const fd = this.#files.open(cString(path), flags | O_CLOEXEC, mode);
    return fd < 0 ? fail(this.#lazyErrno![0]!, "open", path) : fd;
  }

  close(fd: number): void {
    if (this.#files.close(fd) < 0) fail(this.#lazyErrno![0]!, "close");
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
      ? this.#devices.ioctl_value(fd, operation.request, argument)
      : this.#devices.ioctl(fd, operation.request, pinned(argument));
    return result < 0 ? fail(this.#lazyErrno![0]!, operation.name) : result;
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

  mmap(
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
    alignment = 1,
  ): Mapping {
    const address = alignment <= this.pageSize
      ? this.#mmap(0n, BigInt(length), protection, flags, fd, offset)
      : this.#mmapAligned(length, protection, flags, fd, offset, alignment);
    if (fd >= 0) this.#keepFromChildren(address, length);
    const pointer = Deno.UnsafePointer.create(address)!;
    const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, length);
    return { address, length, buffer };
  }

  /** Excludes a mapping from forks: a child would keep its file open. */
  #keepFromChildren(address: bigint, length: number): void {
    try {
      this.madvise(address, length, MADV_DONTFORK);
    } catch (error) {
      this.#devices.munmap(address, BigInt(length));
      throw error;
    }
  }

  #mmap(
    at: bigint,
    length: bigint,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
  ): bigint {
    const pointer = this.#devices.mmap(
      at,
      length,
      protection,
      flags,
      fd,
      offset,
    );
    const errno = this.#lazyErrno![0]!;
    const address = BigInt(Deno.UnsafePointer.value(pointer));
    return address === MAP_FAILED ? fail(errno, "mmap") : address;
  }

  /** Reserves more than is needed, and takes the aligned part of it. */
  #mmapAligned(
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
    alignment: number,
  ): bigint {
    const step = BigInt(alignment);
    const pages = BigInt(Math.ceil(length / this.pageSize) * this.pageSize);
    const size = pages + step;
    const reserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const start = this.#mmap(0n, size, PROT_NONE, reserve, -1, 0n);
    const address = (start + step - 1n) / step * step;
    try {
      this.#mmap(address, pages, protection, flags | MAP_FIXED, fd, offset);
    } catch (error) {
      this.#devices.munmap(start, size);
      throw error;
    }
    const before = address - start;
    const after = size - before - pages;
    if (before > 0n) this.#devices.munmap(start, before);
    if (after > 0n) this.#devices.munmap(address + pages, after);
    return address;
  }

  munmap(mapping: Mapping): void {
    const { buffer, address, length } = mapping;
    // Whoever has it was given the memory, and may still use it.
    if (buffer.detached && !this.#emptied.has(buffer)) return;
    // Detaches every view of the buffer, without freeing or copying: a read
    // through a view of unmapped memory would end the process.
    if (!buffer.detached) buffer.transfer(0);
    this.#emptied.add(buffer);
    if (this.#devices.munmap(address, BigInt(length)) < 0) {
      fail(this.#lazyErrno![0]!, "munmap");
    }
  }

  madvise(address: bigint, length: number, advice: number): void {
    if (this.#devices.madvise(address, BigInt(length), advice) < 0) {
      fail(this.#lazyErrno![0]!, "madvise");
    }
  }

  addressOf(buffer: Uint8Array): bigint {
    return BigInt(
      Deno.UnsafePointer.value(Deno.UnsafePointer.of(pinned(buffer))),
    );
  }

  read(fd: number, into: Uint8Array): number {
    const bytes = this.#files.read(fd, pinned(into), BigInt(into.length));
    return bytes < 0 ? fail(this.#lazyErrno![0]!, "read") : Number(bytes);
  }

  write(fd: number, from: Uint8Array): number {
    const bytes = this.#files.write(fd, pinned(from), BigInt(from.length));
    return bytes < 0 ? fail(this.#lazyErrno![0]!, "write") : Number(bytes);
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
    const bytes = this.#devices.pread(fd, pinned(into), count, offset);
    return bytes < 0 ? fail(this.#lazyErrno![0]!, "pread") : Number(bytes);
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    const count = COUNTS[from.length] ?? BigInt(from.length);
    const bytes = this.#devices.pwrite(fd, pinned(from), count, offset);
    return bytes < 0 ? fail(this.#lazyErrno![0]!, "pwrite") : Number(bytes);
  }

  fcntl(fd: number, command: number, argument = 0): number {
    const result = this.#anonymous.fcntl(fd, command, argument);
    return result < 0 ? fail(this.#lazyErrno![0]!, "fcntl") : result;
  }

  memfd(name: string, flags: number): number {
    const fd = this.#anonymous.memfd_create(cString(name), flags | MFD_CLOEXEC);
    return fd < 0 ? fail(this.#lazyErrno![0]!, "memfd_create") : fd;
  }

  ftruncate(fd: number, length: bigint): void {
    if (this.#anonymous.ftruncate(fd, length) < 0) {
      fail(this.#lazyErrno![0]!, "ftruncate");
    }
  }

  socketpair(domain: number, type: number, protocol: number): [number, number] {
    const pair = new Int32Array(2);
    const result = this.#sockets.socketpair(
      domain,
      type | SOCK_CLOEXEC,
      protocol,
      pair,
    );
    if (result < 0) fail(this.#lazyErrno![0]!, "socketpair");
    return [pair[0]!, pair[1]!];
  }

  sendmsg(fd: number, from: Uint8Array, fds: readonly number[] = []): number {
    const message = Message.toSend(this, from, fds);
    const bytes = this.#sockets.sendmsg(fd, message.header, MSG_NOSIGNAL);
    return bytes < 0
      ? fail(this.#lazyErrno![0]!, "sendmsg")
      : message.sent(bytes);
  }

  recvmsg(fd: number, into: Uint8Array, limit = 0): ReceivedMessage {
    const message = Message.toReceive(this, into, limit);
    const bytes = this.#sockets.recvmsg(fd, message.header, MSG_CMSG_CLOEXEC);
    return bytes < 0
      ? fail(this.#lazyErrno![0]!, "recvmsg")
      : message.received(bytes);
  }

  socket(domain: number, type: number, protocol: number): number {
    const fd = this.#sockets.socket(domain, type | SOCK_CLOEXEC, protocol);
    return fd < 0 ? fail(this.#lazyErrno![0]!, "socket") : fd;
  }

  eventfd(initial: number, flags: number): number {
    const fd = this.#devices.eventfd(initial, flags | O_CLOEXEC);
    return fd < 0 ? fail(this.#lazyErrno![0]!, "eventfd") : fd;
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

  mkdir(path: string, mode: number): void {
    if (this.#tree.mkdir(cString(path), mode) < 0) {
      fail(this.#lazyErrno![0]!, "mkdir", path);
    }
  }

  rmdir(path: string): void {
    if (this.#tree.rmdir(cString(path)) < 0) {
      fail(this.#lazyErrno![0]!, "rmdir", path);
    }
  }

  rename(from: string, to: string): void {
    const result = this.#tree.rename(cString(from), cString(to));
    if (result < 0) fail(this.#lazyErrno![0]!, "rename", to);
  }

  unlink(path: string): void {
    if (this.#tree.unlink(cString(path)) < 0) {
      fail(this.#lazyErrno![0]!, "unlink", path);
    }
  }

  symlink(target: string, path: string): void {
    const result = this.#tree.symlink(cString(target), cString(path));
    if (result < 0) fail(this.#lazyErrno![0]!, "symlink", path);
  }

  fchmod(fd: number, mode: number): void {
    if (this.#tree.fchmod(fd, mode) >= 0) return;
    const errno = this.#lazyErrno![0]!;
    if (errno !== EBADF) fail(errno, "fchmod");
    // Refused for a descriptor of O_PATH; this link leads to its very file.
    if (this.#tree.chmod(cString(`/proc/self/fd/${fd}`), mode) >= 0) return;
    const refusal = this.#lazyErrno![0]!;
    fail(refusal === ENOENT ? EBADF : refusal, "fchmod");
  }

  fchown(fd: number, uid: number, gid: number): void {
    const result = this.#tree.fchownat(
      fd,
      cString(""),
      uid,
      gid,
      AT_EMPTY_PATH,
    );
    if (result < 0) fail(this.#lazyErrno![0]!, "fchown");
  }

  fsync(fd: number): void {
    if (this.#tree.fsync(fd) < 0) fail(this.#lazyErrno![0]!, "fsync");
  }

  flock(fd: number, operation: number): void {
    if (this.#tree.flock(fd, operation) < 0) {
      fail(this.#lazyErrno![0]!, "flock");
    }
  }

  readlink(path: string): string {
    const { length } = this.#scratch;
    const bytes = this.#files.readlink(
      cString(path),
      this.#scratch,
      BigInt(length),
    );
    return bytes < 0
      ? fail(this.#lazyErrno![0]!, "readlink", path)
      : this.#text(Number(bytes));
  }

  readdir(path: string): string[] {
    const fd = this.open(path, O_RDONLY | O_DIRECTORY);
    try {
      const names: string[] = [];
      const { length } = this.#scratch;
      for (;;) {
        const bytes = this.#files.getdents64(
          fd,
          this.#scratch,
          BigInt(length),
        );
        if (bytes < 0) fail(this.#lazyErrno![0]!, "getdents64", path);
        if (bytes === 0n) return names.sort();
        for (const name of this.#names(Number(bytes))) {
          if (name !== "." && name !== "..") names.push(name);
        }
      }
    } finally {
      this.close(fd);
    }
  }

  stat(path: string): FileStatus {
    return this.#statx(AT_FDCWD, path, 0);
  }

  lstat(path: string): FileStatus {
    return this.#statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  }

  fstat(fd: number): FileStatus {
    return this.#statx(fd, "", AT_EMPTY_PATH);
  }

  #statx(directory: number, path: string, flags: number): FileStatus {
    const result = this.#files.statx(
      directory,
      cString(path),
      flags,
      STATX_BASIC_STATS,
      this.#scratch,
    );
    if (result < 0) fail(this.#lazyErrno![0]!, "statx", path);
    // Decoding all of it takes longer than the call.
    const { offset } = statxLayout;
    const status = new DataView(this.#scratch.buffer);
    const major = status.getUint32(offset.stx_rdev_major, true);
    const minor = status.getUint32(offset.stx_rdev_minor, true);
    return {
      mode: status.getUint16(offset.stx_mode, true),
      uid: status.getUint32(offset.stx_uid, true),
      gid: status.getUint32(offset.stx_gid, true),
      device: `${major}:${minor}`,
    };
  }

  readFile(path: string): string {
    return decoder.decode(this.#readToEnd(path));
  }

  readFileBytes(path: string): Uint8Array<ArrayBuffer> {
    return this.#readToEnd(path).slice();
  }

  /** The bytes of a file, until the next call that uses the scratch buffer. */
  #readToEnd(path: string): Uint8Array<ArrayBuffer> {
    const fd = this.open(path, O_RDONLY);
    try {
      let bytes = this.#scratch;
      for (let end = 0;;) {
        const rest = bytes.subarray(end);
        const count = this.#files.read(fd, rest, BigInt(rest.length));
        if (count < 0) fail(this.#lazyErrno![0]!, "read", path);
        if (count === 0n) return bytes.subarray(0, end);
        end += Number(count);
        if (end < bytes.length) continue;
        const larger = new Uint8Array(2 * end);
        larger.set(bytes);
        bytes = larger;
      }
    } finally {
      this.close(fd);
    }
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

  writeFile(path: string, text: string): void {
    const fd = this.open(path, O_WRONLY);
    try {
      this.#writeOnce(fd, encoder.encode(text), path);
    } finally {
      this.close(fd);
    }
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

  #writeOnce(fd: number, from: Uint8Array<ArrayBuffer>, path: string): void {
    if (this.#files.write(fd, from, BigInt(from.length)) < 0) {
      fail(this.#lazyErrno![0]!, "write", path);
    }
  }

  *#names(bytes: number): Generator<string> {
    const { d_reclen, d_name } = linux_dirent64.offset;
    const entries = new DataView(this.#scratch.buffer);
    for (let at = 0; at < bytes;) {
      const start = at + d_name;
      yield this.#text(this.#scratch.indexOf(0, start), start);
      at += entries.getUint16(at + d_reclen, true);
    }
  }

  #text(end: number, start = 0): string {
    return decoder.decode(this.#scratch.subarray(start, end));
  }
}

// A shared or resizable buffer cannot be passed by reference. None of ours is
// either, but the type does not say so.
function pinned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}

/** The result of a system call that gives the negative errno. */
function succeeded(result: number, syscall: string, path?: string): number {
  return result < 0 ? fail(-result, syscall, path) : result;
}

function fail(errno: number, syscall: string, path?: string): never {
  throw new KernelError(errno, syscall, path);
}
