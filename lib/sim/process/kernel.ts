import type {
  FileStatus,
  Kernel,
  Mapping,
  PollRequest,
} from "../../kernel/kernel.ts";
import {
  O_ACCMODE,
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import { MAP_ANONYMOUS, MAP_HUGETLB } from "../../uapi/linux/mman.ts";
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
} from "../../uapi/linux/poll.ts";
import { Descriptors } from "./descriptors.ts";
import { DirectoryFile } from "../fs/directory_file.ts";
import { EventFile } from "./event_file.ts";
import type { Directory, OpenFile, Ownership, Process } from "../fs/file.ts";
import { lock } from "../fs/flock.ts";
import type { HugePages } from "./huge_pages.ts";
import { AddressMap, Pages } from "./memory.ts";
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
}

/** The parts of the system that processes share. */
export interface System {
  /** The root directory. */
  readonly root: Directory;
  /** The pools of huge pages. */
  readonly hugePages: HugePages;
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
  }

  get files(): ReadonlyMap<number, OpenFile> {
    return this.#open.files;
  }

  install(file: OpenFile, access = O_RDWR): number {
    return this.#open.install(file, access);
  }

  file(fd: number): OpenFile {
    return this.#open.get(fd).file;
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
      if (node.kind === "directory") {
        if ((flags & (O_ACCMODE | O_CREAT)) !== O_RDONLY) refuse("EISDIR");
        assertMay(this, node, MAY_READ);
        return this.install(new DirectoryFile(path, node), O_RDONLY);
      }
      if ((flags & O_DIRECTORY) !== 0) return refuse("ENOTDIR");
      return this.install(node.open(this, flags, path), flags & O_ACCMODE);
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
  ): Promise<number> {
    await settled();
    return await callAsync(operation.name, undefined, () => {
      const { file } = this.#open.get(fd);
      return file.ioctl?.(operation, argument, this) ?? refuse("ENOTTY");
    });
  }

  mmap(
    length: number,
    _protection: number,
    flags: number,
    fd: number,
    offset: bigint,
  ): Mapping {
    return call("mmap", undefined, () => {
      if (length <= 0) refuse("EINVAL");
      if ((flags & MAP_ANONYMOUS) !== 0) {
        const release = (flags & MAP_HUGETLB) === 0
          ? () => {}
          : this.#system.hugePages.take(length, flags);
        const bytes = new Uint8Array(pagesUp(length));
        return this.memory.map(new Pages(bytes), release);
      }
      const description = this.#open.get(fd);
      const pages = description.file.mmap?.(length, offset) ?? refuse("ENODEV");
      description.hold();
      return this.memory.map(pages, () => description.release());
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

  eventfd(initial: number, flags: number): number {
    return this.install(new EventFile(initial, flags));
  }

  async pollAsync(
    requests: readonly PollRequest[],
    timeout: number,
  ): Promise<number[]> {
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
    await changed;
    clearTimeout(timer);
    return ready();
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

  chmod(path: string, mode: number): void {
    call("chmod", path, () => this.#change(path, { mode }));
  }

  chown(path: string, uid: number, gid: number): void {
    const to = { ...(uid >= 0 && { uid }), ...(gid >= 0 && { gid }) };
    call("chown", path, () => this.#change(path, to));
  }

  #change(path: string, to: Ownership): Refusal | void {
    const node = resolve(this.#system.root, path, this);
    if (node instanceof Refusal) return node;
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

  async readFileAsync(path: string): Promise<string> {
    const fd = this.open(path, O_RDONLY);
    try {
      await settled();
      await this.file(fd).readable?.();
      return this.#readAll(fd, path);
    } finally {
      this.close(fd);
    }
  }

  writeFile(path: string, text: string): void {
    const fd = this.open(path, O_WRONLY);
    try {
      call("write", path, () => assertImmediate(this.#put(fd, text)));
    } finally {
      this.close(fd);
    }
  }

  async writeFileAsync(path: string, text: string): Promise<void> {
    const fd = this.open(path, O_WRONLY);
    try {
      await settled();
      await callAsync("write", path, () => this.#put(fd, text));
    } finally {
      this.close(fd);
    }
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
