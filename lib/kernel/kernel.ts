/**
 * Everything this library asks of the operating system, as one interface.
 *
 * The layers above take a {@linkcode Kernel} and touch the system through
 * nothing else. That one seam carries the real system (`libc.ts`), the
 * decorators (`trace.ts`, `fault.ts`), and the simulated host.
 *
 * @module
 */

import type { Ioctl } from "../uapi/ioctl.ts";
import type { SignalOptions } from "./abort.ts";

/** Mapped memory by width; an index counts in words of that width. */
export interface RegisterViews {
  /** 8 bits. */
  readonly u8: Uint8Array;
  /** 16 bits. */
  readonly u16: Uint16Array;
  /** 32 bits. */
  readonly u32: Uint32Array;
  /** 64 bits. */
  readonly u64: BigUint64Array;
}

/** A range of memory mapped into this process. */
export interface Mapping {
  /** The address the mapping begins at, in this process. */
  readonly address: bigint;
  /** Bytes mapped. */
  readonly length: number;
  /**
   * The mapped bytes themselves, not a copy. {@linkcode Kernel.munmap} detaches
   * the buffer, so that a view that is kept too long is empty, and does not end
   * the process.
   */
  readonly buffer: ArrayBuffer;
  /**
   * Views of a simulated device's registers, whose accesses have effects that
   * memory lacks. Real mappings have none: the processor makes the access.
   */
  readonly registers?: RegisterViews;
}

/** What {@linkcode Kernel.recvmsg} returns. */
export interface ReceivedMessage {
  /** Bytes received; 0 when the other end is closed. */
  readonly bytes: number;
  /** The descriptors that came with them, which the caller closes. */
  readonly fds: readonly number[];
}

/** What {@linkcode Kernel.stat} returns. */
export interface FileStatus {
  /** File type and permission bits, `st_mode`. */
  readonly mode: number;
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Device number of a device node, as sysfs writes it: `"major:minor"`. */
  readonly device: string;
}

/** What {@linkcode Kernel.runAsync} returns. */
export interface ProgramResult {
  /** The exit status; 128 and the number of a signal that ended it. */
  readonly status: number;
  /** What it wrote to its standard output and standard error. */
  readonly output: string;
}

/** One file descriptor to wait for, and the `POLL*` bits wanted of it. */
export interface PollRequest {
  /** The file descriptor. */
  readonly fd: number;
  /** The `POLL*` bits to wait for. */
  readonly events: number;
}

/** What can be waited for until it has a count, such as an eventfd. */
export interface EventSource {
  /**
   * Calls `ready` once, in another turn of the event loop, when it has one. A
   * wait in the background does not keep the process alive.
   */
  arm(ready: () => void, inBackground?: boolean): void;
  /** Takes that back. */
  disarm(): void;
  /** Takes the count; `undefined` where somebody else has taken it. */
  read(): number | undefined;
  /**
   * Gives it up. Nothing else is called after that.
   *
   * @returns Done when nothing of it is left, where that takes time.
   */
  release(): Promise<void> | void;
}

/**
 * The operating system.
 *
 * A method that fails throws a {@linkcode KernelError} with the errno of the
 * call, which was made once. A method whose name ends in `Async` may take long
 * and leaves the event loop free meanwhile; all others are quick. Where it takes
 * a signal, an abort rejects its promise with the signal's reason. The kernel is
 * done with the call all the same. Every file descriptor is opened
 * close-on-exec.
 */
export interface Kernel {
  /** Bytes in a page of memory. */
  readonly pageSize: number;

  /**
   * Opens `path` with the `O_*` bits of `flags`; `O_CLOEXEC` is always set.
   * A file that it makes (`O_CREAT`) gets the permission bits of `mode`, less
   * those of the process's umask; 0o644 by default.
   */
  open(path: string, flags: number, mode?: number): number;
  /** Closes a descriptor. It is closed even where this throws. */
  close(fd: number): void;
  /** Like `close`, for a descriptor whose close can reset a device. */
  closeAsync(fd: number): Promise<void>;

  /**
   * Performs an ioctl. A `Uint8Array` is passed by reference, a `bigint` by
   * value; without one the call gets 0.
   */
  ioctl(fd: number, operation: Ioctl, argument?: Uint8Array | bigint): number;
  /** Like `ioctl`, for an operation that can block. */
  ioctlAsync(
    fd: number,
    operation: Ioctl,
    argument?: Uint8Array | bigint,
    options?: SignalOptions,
  ): Promise<number>;

  /**
   * Maps `length` bytes; `fd` is -1 for anonymous memory. The address is a
   * multiple of `alignment`, a power of two; default: of the page size.
   */
  mmap(
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
    alignment?: number,
  ): Mapping;
  /**
   * Detaches the mapping's buffer, then unmaps it. Memory whose buffer somebody
   * has transferred away stays as it is, as it may still be used.
   */
  munmap(mapping: Mapping): void;
  /** Says how a range of memory will be used, with `MADV_*`. */
  madvise(address: bigint, length: number, advice: number): void;
  /** Takes the pages of a range of memory from a NUMA node, once they are used. */
  mbind(address: bigint, length: number, node: number): void;
  /** The address of a buffer's first byte. Keep the buffer referenced. */
  addressOf(buffer: Uint8Array): bigint;

  /** Reads at the current position; gives the bytes read, 0 at the end. */
  read(fd: number, into: Uint8Array): number;
  /** Writes at the current position; gives the bytes written. */
  write(fd: number, from: Uint8Array): number;
  /** Like `read`, for a stream whose read can block. */
  readAsync(
    fd: number,
    into: Uint8Array,
    options?: SignalOptions,
  ): Promise<number>;
  /** Like `write`, for a stream whose write can block. */
  writeAsync(
    fd: number,
    from: Uint8Array,
    options?: SignalOptions,
  ): Promise<number>;
  /** Reads at `offset`, in bytes; gives the bytes read. */
  pread(fd: number, into: Uint8Array, offset: bigint): number;
  /** Writes at `offset`, in bytes; gives the bytes written. */
  pwrite(fd: number, from: Uint8Array, offset: bigint): number;

  /**
   * Makes a socket of the `AF_*`, `SOCK_*` and protocol. What is written to a
   * netlink socket goes to the kernel, whose answer is there to read when the
   * write returns.
   */
  socket(domain: number, type: number, protocol: number): number;
  /** Gives a socket its address, a `struct sockaddr` of its domain. */
  bind(fd: number, address: Uint8Array): void;
  /** Makes two sockets that are connected to each other. */
  socketpair(domain: number, type: number, protocol: number): [number, number];
  /**
   * Sends a message, and with it descriptors that the receiver gets copies of;
   * gives the bytes sent.
   */
  sendmsg(fd: number, from: Uint8Array, fds?: readonly number[]): number;
  /** Receives a message, and at most `limit` descriptors; default: none. */
  recvmsg(fd: number, into: Uint8Array, limit?: number): ReceivedMessage;

  /** Makes a file in memory, with `MFD_*` flags. The name is for people. */
  memfd(name: string, flags: number): number;
  /** Sets the length of a file, in bytes. */
  ftruncate(fd: number, length: bigint): void;
  /** Asks of a descriptor, or changes it, with `F_*`. */
  fcntl(fd: number, command: number, argument?: number): number;

  /** Makes an eventfd that starts at `initial`, with `EFD_*` flags. */
  eventfd(initial: number, flags: number): number;
  /**
   * Waits until one of the descriptors is ready or `timeout` milliseconds are
   * over (-1: no limit); gives each one's `POLL*` bits, in the order asked. A
   * signal of a process can end the wait early, with none ready.
   */
  pollAsync(
    requests: readonly PollRequest[],
    timeout: number,
    options?: SignalOptions,
  ): Promise<number[]>;
  /**
   * The counts of an eventfd, as they come, without a thread for each. They add
   * up while nobody asks for the next. The descriptor can be closed meanwhile.
   */
  watch(fd: number, options?: SignalOptions): AsyncIterableIterator<number>;
  /**
   * An eventfd that can be waited for without a promise, and without a thread
   * for each. It is made with `EFD_NONBLOCK`, and stays open until the source is
   * released. Another file that can be polled is waited for alike; its reader
   * reads it by itself.
   */
  eventSource(fd: number): EventSource;

  /** Makes a directory with the permission bits of `mode`, less the umask's. */
  mkdir(path: string, mode: number): void;
  /** Removes an empty directory. */
  rmdir(path: string): void;
  /**
   * Renames a file or a directory atomically, in place of a file or an empty
   * directory that had the name. Both names must be in one file system.
   */
  rename(from: string, to: string): void;
  /** Removes a name of a file; of a symbolic link, the link. */
  unlink(path: string): void;
  /** Makes a symbolic link at `path` in which `target` is written. */
  symlink(target: string, path: string): void;
  /** Sets the permission bits of an open file, also one opened by `O_PATH`. */
  fchmod(fd: number, mode: number): void;
  /**
   * Sets the owner and the group of an open file, also one opened by `O_PATH`;
   * -1 leaves one as it is.
   */
  fchown(fd: number, uid: number, gid: number): void;
  /**
   * Returns when what was written to a file, or the names in a directory, are
   * on the disk.
   */
  fsync(fd: number): void;
  /**
   * Takes or gives up a lock on an open file, with `LOCK_*`. It goes with the
   * last descriptor of that opening, so with the process at the latest.
   * `LOCK_NB` makes it fail with `EAGAIN` where another opening has the lock;
   * without it the call waits, and holds the event loop.
   */
  flock(fd: number, operation: number): void;

  /** Where a symbolic link points, as it is written in the link. */
  readlink(path: string): string;
  /** The names in a directory, sorted, without `.` and `..`. */
  readdir(path: string): string[];
  /** What is known of a file, symbolic links followed. */
  stat(path: string): FileStatus;
  /** What is known of a file; of a symbolic link, the link. */
  lstat(path: string): FileStatus;
  /** What is known of an open file. */
  fstat(fd: number): FileStatus;
  /** The text of a small file, as sysfs and procfs have them. */
  readFile(path: string): string;
  /** The bytes of a file. */
  readFileBytes(path: string): Uint8Array<ArrayBuffer>;
  /**
   * Reads an attribute whose read can block, with one read. That of
   * `driver_override` waits, before Linux 7.0, for whoever moves the device. The
   * process can end while it does.
   */
  readFileAsync(path: string, options?: SignalOptions): Promise<string>;
  /** Writes a small existing file with one `write`, as sysfs requires. */
  writeFile(path: string, text: string): void;
  /**
   * Like `writeFile`, for an attribute whose write can block. The process can
   * end while it does, and the write goes on.
   */
  writeFileAsync(
    path: string,
    text: string,
    options?: SignalOptions,
  ): Promise<void>;

  /**
   * Runs a program of the host, by its absolute path, and waits for its end. It
   * reads nothing, and its environment is that of a system's service. An abort
   * asks it to end.
   */
  runAsync(
    program: string,
    args: readonly string[],
    options?: SignalOptions,
  ): Promise<ProgramResult>;
}
