import { type SignalOptions, untilAborted } from "../../kernel/abort.ts";
import { EventCounts, readCount } from "../../kernel/event_counts.ts";
import type {
  EventSource,
  FileStatus,
  Kernel,
  Mapping,
  PollRequest,
  ReceivedMessage,
} from "../../kernel/kernel.ts";
import {
  F_DUPFD_CLOEXEC,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  FD_CLOEXEC,
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import { MFD_HUGETLB } from "../../uapi/linux/memfd.ts";
import { MAP_ANONYMOUS, MAP_HUGETLB } from "../../uapi/linux/mman.ts";
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
} from "../../uapi/linux/poll.ts";
import { Description, Descriptors } from "./descriptors.ts";
import { DirectoryFile } from "../fs/directory_file.ts";
import { EventFile } from "./event_file.ts";
import type {
  Directory,
  Node,
  OpenFile,
  Ownership,
  Process,
} from "../fs/file.ts";
import { PathFile } from "../fs/path_file.ts";
import { lock, lockOf } from "../fs/flock.ts";
import { type HugePages, hugePageSize } from "./huge_pages.ts";
import { AddressMap, Pages } from "./memory.ts";
import { MemoryFile } from "./memory_file.ts";
import type { PhysicalMemory } from "./physical.ts";
import { SocketEnd } from "./socket_pair.ts";
import {
  makeDirectory,
  makeLink,
  nodeToOpen,
  removeDirectory,
  removeFile,
  renameNode,
} from "../fs/names.ts";
import { resolve, resolveLink } from "../fs/path.ts";
import {
  assertMay,
  assertMayChange,
  MAY_READ,
  statusOfNode,
} from "../fs/permission.ts";
import { Refusal, refuse } from "./refusal.ts";
import { assertImmediate, call, callAsync, settled } from "./system_call.ts";

/** The name, user and limits of a simulated process. */
export interface ProcessOptions {
  /** Its name in `/proc/PID/comm`. */
  readonly name?: string;
  /**
   * The user that it runs as. User 0 may open everything and lock all memory.
   */
  readonly uid?: number;
  /** The group that it runs as. Default: the user's number. */
  readonly gid?: number;
  /** RLIMIT_MEMLOCK in bytes. It does not apply to user 0. */
  readonly memlock?: number;
  /**
   * What it inherits: descriptors of another process, which are its descriptors
   * from 3 on. Default: none.
   */
  readonly inherits?: {
    /** The other process. */
    readonly from: Kernel;
    /** Its descriptors. */
    readonly fds: readonly number[];
  };
}

/** The parts of the system that processes share. */
export interface System {
  /** The root directory. */
  readonly root: Directory;
  /** The pools of huge pages. */
  readonly hugePages: HugePages;
  /** Where the memory of processes is. */
  readonly physical: PhysicalMemory;
  /** Makes a socket. Refuses unknown kinds. */
  socket(
    process: Process,
    domain: number,
    type: number,
    protocol: number,
  ): OpenFile;
  /** Forgets a process that has ended. */
  reap(process: SimKernel): void;
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** What is known of a file that no path leads to. */
const ANONYMOUS_STATUS: FileStatus = {
  mode: 0o600,
  uid: 0,
  gid: 0,
  device: "0:0",
};

/**
 * A process on a simulated machine: its descriptors, its memory, and the
 * {@linkcode Kernel} of its calls.
 */
export class SimKernel implements Kernel, Process {
  readonly pageSize = 4096;
  readonly pid: number;
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly memlock: number;
  locked = 0;
  pinned = 0;
  readonly memory = new AddressMap();
  readonly #system: System;
  /** The buffer for reading files. */
  readonly #scratch = new Uint8Array(4096);
  readonly #open = new Descriptors();

  /**
   * Makes a process without open files.
   *
   * @param system The system that it runs on.
   * @param pid Its process id.
   * @param options Its name, user and limits.
   */
  constructor(system: System, pid: number, options: ProcessOptions) {
    const { name = "deno", uid = 0, gid = uid, memlock = 8 * 2 ** 20 } =
      options;
    this.#system = system;
    this.pid = pid;
    this.name = name;
    this.uid = uid;
    this.gid = gid;
    this.memlock = memlock;
    const { inherits } = options;
    if (inherits === undefined) return;
    const { from, fds } = inherits;
    if (!(from instanceof SimKernel)) {
      throw new TypeError("Cannot inherit descriptors of another system");
    }
    for (const fd of fds) {
      const description = from.#open.find(fd);
      if (description === undefined) {
        throw new TypeError(`Cannot inherit descriptor ${fd}: it is not open`);
      }
      description.hold();
      this.#open.install(description);
    }
  }

  get files(): ReadonlyMap<number, OpenFile> {
    return this.#open.files;
  }

  install(file: OpenFile, flags = O_RDWR, node?: Node): number {
    return this.#open.install(new Description(file, flags, node));
  }

  lockOf(fd: number): number | undefined {
    const description = this.#open.get(fd);
    const { inode } = description.file;
    return inode && lockOf(inode, description);
  }

  file(fd: number): OpenFile {
    return this.#open.get(fd).file;
  }

  hold(fd: number): () => void {
    const description = this.#open.get(fd);
    description.hold();
    return () => description.release();
  }

  /** Ends the process, as SIGKILL does. Its files are closed. */
  exit(): void {
    this.memory.release();
    this.#open.closeAll();
    this.#system.reap(this);
  }

  open(path: string, flags: number, mode = 0o644): number {
    return call("open", path, () => {
      const { root } = this.#system;
      const node = nodeToOpen(root, path, this, flags, mode);
      if (node instanceof Refusal) return node;
      if ((flags & O_PATH) !== 0) {
        return this.install(new PathFile(path), flags, node);
      }
      if (node.kind === "link") return refuse("ELOOP");
      if (node.kind === "directory") {
        if ((flags & (O_ACCMODE | O_CREAT)) !== O_RDONLY) refuse("EISDIR");
        assertMay(this, node, MAY_READ);
        return this.install(new DirectoryFile(path, node), flags, node);
      }
      if ((flags & O_DIRECTORY) !== 0) return refuse("ENOTDIR");
      return this.install(node.open(this, flags, path), flags, node);
    });
  }

  close(fd: number): void {
    call("close", undefined, () => this.#open.close(fd));
  }

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
      const { file } = this.#open.get(fd);
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
      const { file } = this.#open.get(fd);
      return file.ioctl?.(operation, argument, this) ?? refuse("ENOTTY");
    });
    return await untilAborted(done, signal);
  }

  mmap(
    length: number,
    _protection: number,
    flags: number,
    fd: number,
    offset: bigint,
    alignment = 1,
  ): Mapping {
    return call("mmap", undefined, () => {
      if (length <= 0) refuse("EINVAL");
      if ((flags & MAP_ANONYMOUS) !== 0) {
        const { hugePages, physical } = this.#system;
        const release = (flags & MAP_HUGETLB) === 0
          ? () => {}
          : hugePages.take(length, flags);
        const bytes = new Uint8Array(pagesUp(length));
        const unit = (flags & MAP_HUGETLB) === 0
          ? this.pageSize
          : hugePageSize(flags);
        const pages = new Pages(bytes, undefined, unit);
        return this.memory.map(pages, () => {
          physical.forget(pages);
          release();
        }, alignment);
      }
      const description = this.#open.get(fd);
      const pages = description.file.mmap?.(length, offset) ?? refuse("ENODEV");
      description.hold();
      return this.memory.map(pages, () => description.release(), alignment);
    });
  }

  madvise(address: bigint, length: number, _advice: number): void {
    call("madvise", undefined, () => {
      if (address % BigInt(this.pageSize) !== 0n) refuse("EINVAL");
      if (this.memory.slice(address, length) === undefined) refuse("ENOMEM");
    });
  }

  munmap(mapping: Mapping): void {
    call("munmap", undefined, () => this.memory.unmap(mapping));
  }

  addressOf(buffer: Uint8Array): bigint {
    return this.memory.addressOf(buffer);
  }

  read(fd: number, into: Uint8Array): number {
    return call(
      "read",
      undefined,
      () => this.#open.toRead(fd).read?.(into) ?? refuse("EINVAL"),
    );
  }

  write(fd: number, from: Uint8Array): number {
    return call(
      "write",
      undefined,
      () =>
        assertImmediate(
          this.#open.toWrite(fd).write?.(from) ?? refuse("EINVAL"),
        ),
    );
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
      () => this.#open.toWrite(fd).write?.(from) ?? refuse("EINVAL"),
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
      () => this.#open.toRead(fd).pread?.(into, offset) ?? refuse("EINVAL"),
    );
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return call(
      "pwrite",
      undefined,
      () => this.#open.toWrite(fd).pwrite?.(from, offset) ?? refuse("EINVAL"),
    );
  }

  socket(domain: number, type: number, protocol: number): number {
    return call(
      "socket",
      undefined,
      () => this.install(this.#system.socket(this, domain, type, protocol)),
    );
  }

  socketpair(domain: number, type: number, protocol: number): [number, number] {
    return call("socketpair", undefined, () => {
      const [one, other] = SocketEnd.pair(domain, type, protocol);
      return [this.install(one), this.install(other)];
    });
  }

  sendmsg(fd: number, from: Uint8Array, fds: readonly number[] = []): number {
    return call("sendmsg", undefined, () => {
      const sent = fds.map((sent) => this.#open.get(sent));
      return this.#socket(fd).send(from, sent);
    });
  }

  recvmsg(fd: number, into: Uint8Array, limit = 0): ReceivedMessage {
    return call("recvmsg", undefined, () => {
      const { bytes, descriptions } = this.#socket(fd).receive(into);
      for (const lost of descriptions.slice(limit)) lost.release();
      const fds = descriptions.slice(0, limit)
        .map((description) => this.#open.install(description));
      return { bytes: bytes.length, fds };
    });
  }

  #socket(fd: number): SocketEnd {
    const { file } = this.#open.get(fd);
    return file instanceof SocketEnd ? file : refuse("ENOTSOCK");
  }

  memfd(name: string, flags: number): number {
    return call("memfd_create", undefined, () => {
      if ((flags & MFD_HUGETLB) !== 0) refuse("EINVAL");
      return this.install(new MemoryFile(name));
    });
  }

  ftruncate(fd: number, length: bigint): void {
    call("ftruncate", undefined, () => {
      const file = this.#open.toWrite(fd);
      if (file.truncate === undefined || length < 0n) return refuse("EINVAL");
      file.truncate(Number(length));
    });
  }

  fcntl(fd: number, command: number, argument = 0): number {
    return call("fcntl", undefined, () => {
      const description = this.#open.get(fd);
      switch (command) {
        case F_DUPFD_CLOEXEC:
          description.hold();
          return this.#open.install(description, argument);
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
        const file = this.#open.find(fd)?.file;
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
    call("epoll_ctl", undefined, () => this.#open.toRead(fd));
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

  mkdir(path: string, mode: number): void {
    const { root } = this.#system;
    call("mkdir", path, () => makeDirectory(root, path, this, mode));
  }

  rmdir(path: string): void {
    const { root } = this.#system;
    call("rmdir", path, () => removeDirectory(root, path, this));
  }

  rename(from: string, to: string): void {
    const { root } = this.#system;
    call("rename", to, () => renameNode(root, from, to, this));
  }

  unlink(path: string): void {
    call("unlink", path, () => removeFile(this.#system.root, path, this));
  }

  symlink(target: string, path: string): void {
    const { root } = this.#system;
    call("symlink", path, () => makeLink(root, path, this, target));
  }

  fchmod(fd: number, mode: number): void {
    call("fchmod", undefined, () => this.#change(fd, { mode }));
  }

  fchown(fd: number, uid: number, gid: number): void {
    const to = { ...(uid >= 0 && { uid }), ...(gid >= 0 && { gid }) };
    call("fchown", undefined, () => this.#change(fd, to));
  }

  #change(fd: number, to: Ownership): void {
    const { node } = this.#open.get(fd);
    if (node === undefined) return refuse("EINVAL");
    if (node.kind === "link") return refuse("EOPNOTSUPP");
    assertMayChange(this, statusOfNode(node), to);
    if (node.change === undefined) refuse("EPERM");
    node.change(to);
  }

  fsync(fd: number): void {
    call("fsync", undefined, () => {
      const file = this.file(fd);
      if (file.sync === undefined) refuse("EINVAL");
      file.sync();
    });
  }

  flock(fd: number, operation: number): void {
    call("flock", undefined, () => {
      const description = this.#open.get(fd);
      const { inode } = description.file;
      lock(inode ?? refuse("ENOLCK"), description, operation);
    });
  }

  readlink(path: string): string {
    return call("readlink", path, () => {
      const node = resolveLink(this.#system.root, path, this);
      if (node instanceof Refusal) return node;
      return node.kind === "link" ? node.target : refuse("EINVAL");
    });
  }

  readdir(path: string): string[] {
    return call("open", path, () => {
      const node = resolve(this.#system.root, path, this);
      if (node instanceof Refusal) return node;
      if (node.kind !== "directory") return refuse("ENOTDIR");
      assertMay(this, node, MAY_READ);
      return [...node.names(this)].sort();
    });
  }

  stat(path: string): FileStatus {
    return call("statx", path, () => {
      const node = resolve(this.#system.root, path, this);
      return node instanceof Refusal ? node : statusOfNode(node);
    });
  }

  lstat(path: string): FileStatus {
    return call("statx", path, () => {
      const node = resolveLink(this.#system.root, path, this);
      return node instanceof Refusal ? node : statusOfNode(node);
    });
  }

  fstat(fd: number): FileStatus {
    return call("statx", "", () => {
      const { node } = this.#open.get(fd);
      return node === undefined ? ANONYMOUS_STATUS : statusOfNode(node);
    });
  }

  readFile(path: string): string {
    const fd = this.open(path, O_RDONLY);
    try {
      return this.#readAll(fd, path);
    } finally {
      this.close(fd);
    }
  }

  #readAll(fd: number, path: string): string {
    return call("read", path, () => {
      const { file } = this.#open.get(fd);
      if (file.text !== undefined) return file.text();
      let text = "";
      for (;;) {
        const length = file.read?.(this.#scratch) ?? refuse("EINVAL");
        if (length === 0) return text + DECODER.decode();
        const part = this.#scratch.subarray(0, length);
        text += DECODER.decode(part, { stream: true });
      }
    });
  }

  readFileBytes(path: string): Uint8Array<ArrayBuffer> {
    const fd = this.open(path, O_RDONLY);
    try {
      const { file } = this.#open.get(fd);
      const parts: number[] = [];
      for (;;) {
        const length = call(
          "read",
          path,
          () => file.read?.(this.#scratch) ?? refuse("EINVAL"),
        );
        if (length === 0) return new Uint8Array(parts);
        parts.push(...this.#scratch.subarray(0, length));
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
    const fd = this.open(path, O_RDONLY);
    const read = async () => {
      await settled();
      await this.file(fd).readable?.();
      return this.#readAll(fd, path);
    };
    return await untilAborted(read().finally(() => this.close(fd)), signal);
  }

  writeFile(path: string, text: string): void {
    const fd = this.open(path, O_WRONLY);
    try {
      call("write", path, () => assertImmediate(this.#put(fd, text)));
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
    const write = async () => {
      await settled();
      await callAsync("write", path, () => this.#put(fd, text));
    };
    await untilAborted(write().finally(() => this.close(fd)), signal);
  }

  // The kernel does not pass an empty write to the attribute.
  #put(fd: number, text: string): number | Promise<number> {
    if (text === "") return 0;
    const { file } = this.#open.get(fd);
    return file.write?.(ENCODER.encode(text)) ?? refuse("EINVAL");
  }
}

function pagesUp(length: number): number {
  return Math.ceil(length / 4096) * 4096;
}
