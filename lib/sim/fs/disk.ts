/**
 * Simulates a disk with ordinary files, as on a tmpfs: `/etc`, `/run`, `/tmp`,
 * `/var`.
 *
 * @module
 */

import type { FileStatus } from "../../kernel/kernel.ts";
import { O_APPEND, O_TRUNC } from "../../uapi/linux/fcntl.ts";
import type {
  Directory,
  FileNode,
  Link,
  Node,
  OpenFile,
  Ownership,
  Process,
} from "./file.ts";
import { changed } from "./ownership.ts";
import { refuse } from "../process/refusal.ts";

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

/** The umask of processes. */
const UMASK = 0o022;

/** The directories of an empty disk, with their modes. */
const DIRECTORIES: Readonly<Record<string, number>> = {
  etc: 0o755,
  run: 0o755,
  tmp: 0o1777,
  var: 0o755,
  "var/lib": 0o755,
  "var/log": 0o755,
};

/** A directory on the disk. */
export class DiskDirectory implements Directory {
  readonly kind = "directory";
  readonly entries = new Map<string, Node>();
  status: FileStatus;

  /**
   * An empty one.
   *
   * @param status Its owner and mode.
   */
  constructor(status: FileStatus) {
    this.status = status;
  }

  names(): Iterable<string> {
    return this.entries.keys();
  }

  lookup(name: string): Node | undefined {
    return this.entries.get(name);
  }

  change(to: Ownership): void {
    this.status = changed(this.status, to);
  }
}

/** A file on the disk. It exists as long as it has a name or is open. */
export class DiskFile implements FileNode {
  readonly kind = "file";
  status: FileStatus;
  /** Its contents, at the beginning of a buffer that grows by doubling. */
  #buffer = new Uint8Array();
  #length = 0;

  /**
   * An empty one.
   *
   * @param status Its owner and mode.
   */
  constructor(status: FileStatus) {
    this.status = status;
  }

  /** Its contents. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  set bytes(bytes: Uint8Array<ArrayBuffer>) {
    this.#buffer = bytes;
    this.#length = bytes.length;
  }

  /** Writes bytes at an offset. What is between the end and that is zeros. */
  put(from: Uint8Array, offset: number): void {
    const end = offset + from.length;
    if (end > this.#buffer.length) {
      const old = this.bytes;
      this.#buffer = new Uint8Array(Math.max(end, 2 * old.length));
      this.#buffer.set(old);
    }
    this.#buffer.set(from, offset);
    this.#length = Math.max(this.#length, end);
  }

  open(_process: Process, flags: number, path: string): OpenFile {
    if ((flags & O_TRUNC) !== 0) this.bytes = new Uint8Array();
    return new OpenDiskFile(this, path, (flags & O_APPEND) !== 0);
  }

  change(to: Ownership): void {
    this.status = changed(this.status, to);
  }
}

class OpenDiskFile implements OpenFile {
  readonly linkText: string;
  readonly inode: DiskFile;
  readonly #appends: boolean;
  #position = 0;

  constructor(file: DiskFile, path: string, appends: boolean) {
    this.inode = file;
    this.linkText = path;
    this.#appends = appends;
  }

  read(into: Uint8Array): number {
    const length = this.pread(into, BigInt(this.#position));
    this.#position += length;
    return length;
  }

  write(from: Uint8Array): number {
    if (this.#appends) this.#position = this.inode.bytes.length;
    this.#put(from, this.#position);
    this.#position += from.length;
    return from.length;
  }

  pread(into: Uint8Array, offset: bigint): number {
    if (offset < 0n) refuse("EINVAL");
    const start = Number(offset);
    const part = this.inode.bytes.subarray(start, start + into.length);
    into.set(part);
    return part.length;
  }

  pwrite(from: Uint8Array, offset: bigint): number {
    if (offset < 0n) refuse("EINVAL");
    // Linux appends and ignores the offset (pwrite(2), "BUGS").
    const { length } = this.inode.bytes;
    this.#put(from, this.#appends ? length : Number(offset));
    return from.length;
  }

  #put(from: Uint8Array, offset: number): void {
    if (from.length > 0) this.inode.put(from, offset);
  }

  truncate(length: number): void {
    const { bytes } = this.inode;
    this.inode.bytes = new Uint8Array(length);
    this.inode.bytes.set(bytes.subarray(0, length));
  }

  sync(): void {}

  close(): void {}
}

/** Makes an empty directory of a process. */
export function newDirectory(process: Process, mode: number): DiskDirectory {
  return new DiskDirectory(statusOfNew(process, S_IFDIR, mode));
}

/** Makes an empty file of a process. */
export function newFile(process: Process, mode: number): DiskFile {
  return new DiskFile(statusOfNew(process, S_IFREG, mode));
}

/** Makes a symbolic link. */
export function newLink(target: string): Link {
  return { kind: "link", target };
}

function statusOfNew(
  { uid, gid }: Process,
  type: number,
  mode: number,
): FileStatus {
  return {
    mode: type | mode & 0o7777 & ~UMASK,
    uid,
    gid,
    device: "0:0",
  };
}

/** Makes a file of root's with a text. */
export function textFile(text: string): DiskFile {
  const file = new DiskFile(rootStatus(S_IFREG | 0o644));
  file.bytes = ENCODER.encode(text);
  return file;
}

const ENCODER = new TextEncoder();

/**
 * Makes a disk with the usual directories and further nodes.
 *
 * @param nodes The nodes, by path.
 */
export function makeDisk(
  nodes: Iterable<readonly [string, Node]>,
): DiskDirectory {
  const root = directory(0o755);
  for (const [path, mode] of Object.entries(DIRECTORIES)) {
    directoryAt(root, path.split("/")).change({ mode });
  }
  for (const [path, node] of nodes) {
    const names = path.split("/").filter((name) => name !== "");
    directoryAt(root, names.slice(0, -1)).entries.set(names.at(-1)!, node);
  }
  return root;
}

function directoryAt(
  root: DiskDirectory,
  names: readonly string[],
): DiskDirectory {
  return names.reduce((from, name) => {
    const found = from.entries.get(name);
    if (found instanceof DiskDirectory) return found;
    const made = directory(0o755);
    from.entries.set(name, made);
    return made;
  }, root);
}

function directory(mode: number): DiskDirectory {
  return new DiskDirectory(rootStatus(S_IFDIR | mode));
}

function rootStatus(mode: number): FileStatus {
  return { mode, uid: 0, gid: 0, device: "0:0" };
}
