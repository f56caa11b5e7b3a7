import { errnoNumber, KernelError } from "../kernel/errno.ts";
import type {
  FileStatus,
  Kernel,
  Mapping,
  PollRequest,
} from "../kernel/kernel.ts";
import { O_ACCMODE, O_DIRECTORY, O_RDONLY, O_WRONLY } from "../uapi/fcntl.ts";
import type { Ioctl } from "../uapi/ioctl.ts";
import { MAP_ANONYMOUS, MAP_HUGETLB } from "../uapi/mman.ts";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT } from "../uapi/poll.ts";
import { EventFile } from "./event_file.ts";
import type { Directory, FileNode, OpenFile, Process } from "./file.ts";
import type { HugePages } from "./huge_pages.ts";
import { AddressMap, Pages } from "./memory.ts";
import { resolve, resolveLink } from "./path.ts";
import { Refusal, refuse } from "./refusal.ts";

/** Who a simulated process is. */
export interface ProcessOptions {
  /** What `/proc/PID/comm` says. */
  readonly name?: string;
  /** The user it runs as; 0 may open everything and lock all memory. */
  readonly uid?: number;
  /** The group it runs as. Default: the number of the user. */
  readonly gid?: number;
  /** RLIMIT_MEMLOCK in bytes, which binds every user but 0. */
  readonly memlock?: number;
}

/** What processes have in common. */
export interface System {
  /** What `/` is. */
  readonly root: Directory;
  /** The pool of huge pages. */
  readonly hugePages: HugePages;
  /** Forgets a process that has ended. */
  reap(process: SimKernel): void;
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** What is open, and by how much. */
interface Description {
  readonly file: OpenFile;
  /** Descriptors and mappings that keep it open. */
  holders: number;
}

/**
 * A process on a simulated machine: its descriptors and its memory, and the
 * {@linkcode Kernel} that it sees.
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
  /** What small files are read into. */
  readonly #scratch = new Uint8Array(4096);
  readonly #open = new Map<number, Description>();
  /** What gives back what a mapping holds, by its address. */
  readonly #mapped = new Map<bigint, () => void>();

  /**
   * A process that has nothing open.
   *
   * @param system The system that it runs on.
   * @param pid Its process id.
   * @param options Who it is.
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
    return new Map([...this.#open].map(([fd, { file }]) => [fd, file]));
  }

  install(file: OpenFile): number {
    // As Linux does: the lowest that is free; 0 to 2 are the terminal's.
    let fd = 3;
    while (this.#open.has(fd)) fd++;
    this.#open.set(fd, { file, holders: 1 });
    return fd;
  }

  file(fd: number): OpenFile {
    return this.#description(fd).file;
  }

  /** Ends the process, as SIGKILL does: everything it has open is closed. */
  exit(): void {
    for (const give of this.#mapped.values()) give();
    for (const fd of this.#open.keys()) this.close(fd);
    this.#system.reap(this);
  }

  open(path: string, flags: number): number {
    return this.#call("open", path, () => {
      const node = resolve(this.#system.root, path, this);
      if (node.kind === "directory") {
        if ((flags & O_ACCMODE) !== O_RDONLY) refuse("EISDIR");
        return this.install(new DirectoryFile(path));
      }
      if ((flags & O_DIRECTORY) !== 0) return refuse("ENOTDIR");
      this.#assertMay(node, flags);
      return this.install(node.open(this, flags));
    });
  }

  close(fd: number): void {
    this.#call("close", undefined, () => {
      const description = this.#description(fd);
      this.#open.delete(fd);
      release(description);
    });
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
    return this.#call(operation.name, undefined, () => {
      const { file } = this.#description(fd);
      if (file.ioctl === undefined) return refuse("ENOTTY");
      return immediate(file.ioctl(operation, argument, this));
    });
  }

  async ioctlAsync(
    fd: number,
    operation: Ioctl,
    argument: Uint8Array | bigint = 0n,
  ): Promise<number> {
    await settled();
    return await this.#callAsync(operation.name, undefined, () => {
      const { file } = this.#description(fd);
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
    return this.#call("mmap", undefined, () => {
      if (length <= 0) refuse("EINVAL");
      if ((flags & MAP_ANONYMOUS) !== 0) {
        const give = (flags & MAP_HUGETLB) === 0
          ? () => {}
          : this.#system.hugePages.take(length, flags);
        const bytes = new Uint8Array(pagesUp(length));
        const mapping = this.memory.map(new Pages(bytes));
        this.#mapped.set(mapping.address, give);
        return mapping;
      }
      const description = this.#description(fd);
      const pages = description.file.mmap?.(length, offset) ?? refuse("ENODEV");
      const mapping = this.memory.map(pages);
      description.holders++;
      this.#mapped.set(mapping.address, () => release(description));
      return mapping;
    });
  }

  munmap(mapping: Mapping): void {
    this.#call("munmap", undefined, () => {
      this.memory.unmap(mapping);
      this.#mapped.get(mapping.address)?.();
      this.#mapped.delete(mapping.address);
    });
  }

  addressOf(buffer: Uint8Array): bigint {
    return this.memory.addressOf(buffer);
  }

  read(fd: number, into: Uint8Array): number {
    return this.#call(
      "read",
      undefined,
      () => this.file(fd).read?.(into) ?? refuse("EINVAL"),
    );
  }

  write(fd: number, from: Uint8Array): number {
    return this.#call(
      "write",
      undefined,
      () => immediate(this.file(fd).write?.(from) ?? refuse("EINVAL")),
    );
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    return this.#call(
      "pread",
      undefined,
      () => this.file(fd).pread?.(into, offset) ?? refuse("EINVAL"),
    );
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return this.#call(
      "pwrite",
      undefined,
      () => this.file(fd).pwrite?.(from, offset) ?? refuse("EINVAL"),
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
        const file = this.#open.get(fd)?.file;
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

  mkdir(path: string, _mode: number): void {
    this.#call("mkdir", path, () => refuse("EROFS"));
  }

  rmdir(path: string): void {
    this.#call("rmdir", path, () => refuse("EROFS"));
  }

  rename(_from: string, to: string): void {
    this.#call("rename", to, () => refuse("EROFS"));
  }

  unlink(path: string): void {
    this.#call("unlink", path, () => refuse("EROFS"));
  }

  symlink(_target: string, path: string): void {
    this.#call("symlink", path, () => refuse("EROFS"));
  }

  chmod(path: string, _mode: number): void {
    this.#call("chmod", path, () => refuse("EROFS"));
  }

  chown(path: string, _uid: number, _gid: number): void {
    this.#call("chown", path, () => refuse("EROFS"));
  }

  fsync(fd: number): void {
    this.#call("fsync", undefined, () => void this.#description(fd));
  }

  flock(_fd: number, _operation: number): void {
    this.#call("flock", undefined, () => refuse("ENOLCK"));
  }

  readlink(path: string): string {
    return this.#call("readlink", path, () => {
      const node = resolveLink(this.#system.root, path, this);
      return node.kind === "link" ? node.target : refuse("EINVAL");
    });
  }

  readdir(path: string): string[] {
    return this.#call("open", path, () => {
      const node = resolve(this.#system.root, path, this);
      if (node.kind !== "directory") return refuse("ENOTDIR");
      return [...node.names(this)].sort();
    });
  }

  stat(path: string): FileStatus {
    return this.#call("statx", path, () => {
      const node = resolve(this.#system.root, path, this);
      return node.kind === "file" ? node.status : DIRECTORY_STATUS;
    });
  }

  readFile(path: string): string {
    const fd = this.open(path, O_RDONLY);
    try {
      return this.#call("read", path, () => {
        const { file } = this.#description(fd);
        let text = "";
        for (;;) {
          const length = file.read?.(this.#scratch) ?? refuse("EINVAL");
          if (length === 0) return text + DECODER.decode();
          const part = this.#scratch.subarray(0, length);
          text += DECODER.decode(part, { stream: true });
        }
      });
    } finally {
      this.close(fd);
    }
  }

  async readFileAsync(path: string): Promise<string> {
    await settled();
    return this.readFile(path);
  }

  writeFile(path: string, text: string): void {
    const fd = this.open(path, O_WRONLY);
    try {
      this.#call("write", path, () => immediate(this.#put(fd, text)));
    } finally {
      this.close(fd);
    }
  }

  async writeFileAsync(path: string, text: string): Promise<void> {
    const fd = this.open(path, O_WRONLY);
    try {
      await settled();
      await this.#callAsync("write", path, () => this.#put(fd, text));
    } finally {
      this.close(fd);
    }
  }

  // A write of nothing does not reach an attribute, whatever it would do.
  #put(fd: number, text: string): number | Promise<number> {
    if (text === "") return 0;
    const { file } = this.#description(fd);
    return file.write?.(ENCODER.encode(text)) ?? refuse("EINVAL");
  }

  #description(fd: number): Description {
    return this.#open.get(fd) ?? refuse("EBADF");
  }

  #assertMay({ status }: FileNode, flags: number): void {
    if (this.uid === 0) return;
    const shift = status.uid === this.uid ? 6 : status.gid === this.gid ? 3 : 0;
    const wanted = [0o4, 0o2, 0o6][flags & O_ACCMODE] ?? 0o6;
    if ((status.mode >> shift & wanted) !== wanted) refuse("EACCES");
  }

  #call<T>(syscall: string, path: string | undefined, answer: () => T): T {
    try {
      return answer();
    } catch (error) {
      throw answered(error, syscall, path);
    }
  }

  async #callAsync<T>(
    syscall: string,
    path: string | undefined,
    answer: () => T | Promise<T>,
  ): Promise<T> {
    try {
      return await answer();
    } catch (error) {
      throw answered(error, syscall, path);
    }
  }
}

/** An open directory, which is not read as a file. */
class DirectoryFile implements OpenFile {
  readonly shown: string;

  constructor(path: string) {
    this.shown = path;
  }

  read(): number {
    return refuse("EISDIR");
  }

  pread(): number {
    return refuse("EISDIR");
  }

  close(): void {}
}

const DIRECTORY_STATUS: FileStatus = {
  mode: 0o040755,
  uid: 0,
  gid: 0,
  device: "0:0",
};

function pagesUp(length: number): number {
  return Math.ceil(length / 4096) * 4096;
}

function release(description: Description): void {
  if (--description.holders === 0) description.file.close();
}

/** A call that a real kernel makes on another thread takes a turn here too. */
function settled(): Promise<void> {
  return Promise.resolve();
}

/** The result of a call that holds the event loop while it is made. */
function immediate<T>(result: T | Promise<T>): T {
  if (!(result instanceof Promise)) return result;
  // Nothing can let the call go on while it holds the event loop.
  result.catch(() => {});
  throw new Error(
    "This call blocks, and a real process would hang in it: make it by the " +
      "method that ends in Async",
  );
}

function answered(
  error: unknown,
  syscall: string,
  path: string | undefined,
): unknown {
  return error instanceof Refusal
    ? new KernelError(errnoNumber(error.code), syscall, path)
    : error;
}
