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
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  O_WRONLY,
} from "../uapi/linux/fcntl.ts";
import type { Ioctl } from "../uapi/ioctl.ts";
import { pollfd } from "../uapi/linux/poll.ts";
import { SOCK_CLOEXEC } from "../uapi/linux/socket.ts";
import {
  AT_FDCWD,
  statx as statxLayout,
  STATX_BASIC_STATS,
} from "../uapi/linux/statx.ts";
import { KernelError } from "./errno.ts";
import type { FileStatus, Kernel, Mapping, PollRequest } from "./kernel.ts";
import { readInChild, writeInChild } from "./libc_copy.ts";
import {
  BLOCKING,
  CHILD,
  DEVICES,
  FILES,
  PROCESS,
  SOCKETS,
  TREE,
} from "./libc_symbols.ts";

function load<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Deno.DynamicLibrary<S>["symbols"] {
  return Deno.dlopen("libc.so.6", symbols).symbols;
}

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
  #lazyBlocking: Deno.DynamicLibrary<typeof BLOCKING>["symbols"] | undefined;
  #lazyChild: Deno.DynamicLibrary<typeof CHILD>["symbols"] | undefined;
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

  get #blocking(): Deno.DynamicLibrary<typeof BLOCKING>["symbols"] {
    this.#lazyErrno ??= this.#errnoView();
    return this.#lazyBlocking ??= load(BLOCKING);
  }

  get #child(): Deno.DynamicLibrary<typeof CHILD>["symbols"] {
    return this.#lazyChild ??= load(CHILD);
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
    // Not repeated: Linux releases the descriptor even where close fails, and
    // by now the number may belong to another file.
    await this.#blocking.close(fd);
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
  ): Promise<number> {
    const result = typeof argument === "bigint"
      ? await this.#blocking.ioctl_value(fd, operation.request, argument)
      : await this.#blocking.ioctl(fd, operation.request, pinned(argument));
    return result < 0 ? this.ioctl(fd, operation, argument) : result;
  }

  mmap(
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
  ): Mapping {
    const pointer = this.#devices.mmap(
      0n,
      BigInt(length),
      protection,
      flags,
      fd,
      offset,
    );
    const errno = this.#lazyErrno![0]!;
    const address = BigInt(Deno.UnsafePointer.value(pointer));
    if (pointer === null || address === MAP_FAILED) {
      fail(errno, "mmap");
    }
    const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, length);
    return { address, length, buffer };
  }

  munmap(mapping: Mapping): void {
    // Detaches every view of the buffer, without freeing or copying: a read
    // through a view of unmapped memory would end the process.
    if (!mapping.buffer.detached) mapping.buffer.transfer(0);
    const length = BigInt(mapping.length);
    if (this.#devices.munmap(mapping.address, length) < 0) {
      fail(this.#lazyErrno![0]!, "munmap");
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

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    const count = BigInt(into.length);
    const bytes = this.#devices.pread(fd, pinned(into), count, offset);
    return bytes < 0 ? fail(this.#lazyErrno![0]!, "pread") : Number(bytes);
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    const count = BigInt(from.length);
    const bytes = this.#devices.pwrite(fd, pinned(from), count, offset);
    return bytes < 0 ? fail(this.#lazyErrno![0]!, "pwrite") : Number(bytes);
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
  ): Promise<number[]> {
    const fds = new Uint8Array(requests.length * pollfd.size);
    for (const [i, { fd, events }] of requests.entries()) {
      pollfd.encode(fds, { fd, events }, i * pollfd.size);
    }
    const count = BigInt(requests.length);
    if (
      await this.#blocking.poll(fds, count, timeout) < 0 &&
      this.#blocking.poll_now(fds, count, 0) < 0
    ) fail(this.#lazyErrno![0]!, "poll");
    return requests.map((_, i) => pollfd.decode(fds, i * pollfd.size).revents);
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

  chmod(path: string, mode: number): void {
    if (this.#tree.chmod(cString(path), mode) < 0) {
      fail(this.#lazyErrno![0]!, "chmod", path);
    }
  }

  chown(path: string, uid: number, gid: number): void {
    const result = this.#tree.chown(cString(path), uid, gid);
    if (result < 0) fail(this.#lazyErrno![0]!, "chown", path);
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
    const result = this.#files.statx(
      AT_FDCWD,
      cString(path),
      0,
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
    const fd = this.open(path, O_RDONLY);
    try {
      let bytes = this.#scratch;
      for (let end = 0;;) {
        const rest = bytes.subarray(end);
        const count = this.#files.read(fd, rest, BigInt(rest.length));
        if (count < 0) fail(this.#lazyErrno![0]!, "read", path);
        if (count === 0n) return decoder.decode(bytes.subarray(0, end));
        end += Number(count);
        if (end < bytes.length) continue;
        // Decoded at once, since a character can lie across two reads.
        const larger = new Uint8Array(2 * end);
        larger.set(bytes);
        bytes = larger;
      }
    } finally {
      this.close(fd);
    }
  }

  async readFileAsync(path: string): Promise<string> {
    const fd = this.open(path, O_RDONLY);
    try {
      const read = await readInChild(this.#child, fd) ??
        await this.#readOnThread(fd);
      if (read !== false) return read;
    } finally {
      this.close(fd);
    }
    return this.readFile(path);
  }

  async #readOnThread(fd: number): Promise<string | false> {
    const bytes = new Uint8Array(SCRATCH_BYTES);
    const count = await this.#blocking.read(fd, bytes, BigInt(bytes.length));
    const isComplete = count >= 0n && count < bytes.length;
    return isComplete && decoder.decode(bytes.subarray(0, Number(count)));
  }

  writeFile(path: string, text: string): void {
    const fd = this.open(path, O_WRONLY);
    try {
      this.#writeOnce(fd, encoder.encode(text), path);
    } finally {
      this.close(fd);
    }
  }

  async writeFileAsync(path: string, text: string): Promise<void> {
    const fd = this.open(path, O_WRONLY);
    try {
      const from = encoder.encode(text);
      const written = await writeInChild(this.#child, fd, from) ??
        await this.#blocking.write(fd, from, BigInt(from.length)) >= 0;
      if (!written) this.#writeOnce(fd, from, path);
    } finally {
      this.close(fd);
    }
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

function fail(errno: number, syscall: string, path?: string): never {
  throw new KernelError(errno, syscall, path);
}
