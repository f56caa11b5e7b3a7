/**
 * What paths and file descriptors lead to in the simulated system.
 *
 * @module
 */

import type { FileStatus } from "../../kernel/kernel.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import type { AddressMap, Pages } from "../process/memory.ts";

/** What a path leads to. */
export type Node = Directory | Link | FileNode;

/** A directory. What is in it is made when it is looked at. */
export interface Directory {
  readonly kind: "directory";
  /** The names in it, in any order; procfs shows each process others. */
  names(process: Process): Iterable<string>;
  /** What a name leads to. */
  lookup(name: string, process: Process): Node | undefined;
  /** Who may use it. Default: root, and all others to look into it. */
  readonly status?: FileStatus | undefined;
  /** What is in it, where names can be added and removed. */
  readonly entries?: Map<string, Node> | undefined;
  /** Changes its owner or its mode, where it keeps them. */
  change?(to: Ownership): void;
}

/** A symbolic link. */
export interface Link {
  readonly kind: "link";
  /** Where it leads: an absolute path, or one from its directory. */
  readonly target: string;
}

/** An attribute or a device node. */
export interface FileNode {
  readonly kind: "file";
  /** Who may open it, and which device it is. */
  readonly status: FileStatus;
  /**
   * Opens it with `O_*` bits, by a path; whether its mode allows it has been
   * checked.
   */
  open(process: Process, flags: number, path: string): OpenFile;
  /** Changes its owner or its mode, where it keeps them. */
  change?(to: Ownership): void;
}

/** What chown and chmod change of a file. */
export interface Ownership {
  /** The owner. */
  readonly uid?: number;
  /** The owner's group. */
  readonly gid?: number;
  /** Permission bits. */
  readonly mode?: number;
}

/**
 * An open file. A method that is not there answers as the kernel does for a
 * file that lacks it: ENOTTY for an ioctl, ENODEV for mmap, else EINVAL.
 *
 * A method that would block gives a promise.
 */
export interface OpenFile {
  /** What `/proc/PID/fd` shows: a path, or `anon_inode:[vfio-device]`. */
  readonly linkText: string;
  /** What all openings of the file have in common: it can be locked. */
  readonly inode?: object | undefined;
  /** Ends when reading would not block. */
  readable?(): void | Promise<void>;
  /** Sets its length, in bytes. */
  truncate?(length: number): void;
  /** Returns when what was written is on the disk. */
  sync?(): void;
  /** Reads at the current position. */
  read?(into: Uint8Array): number;
  /** All that reading to the end gives, where it is text and known at once. */
  text?(): string;
  /** Writes at the current position. */
  write?(from: Uint8Array): number | Promise<number>;
  /** Reads at an offset. */
  pread?(into: Uint8Array, offset: bigint): number;
  /** Writes at an offset. */
  pwrite?(from: Uint8Array, offset: bigint): number;
  /** Answers an ioctl; `argument` is what was passed, by reference or value. */
  ioctl?(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | Promise<number>;
  /** The memory behind a part of the file. */
  mmap?(length: number, offset: bigint): Pages;
  /** The `POLL*` bits that are set; `changed` is called when that changes. */
  poll?(changed: () => void): number;
  /** The last descriptor is closed, and nothing of it is mapped any more. */
  close(): void;
}

/** A process, as its files see it. */
export interface Process {
  /** Its process id. */
  readonly pid: number;
  /** What `/proc/PID/comm` says. */
  readonly name: string;
  /** The user it runs as; 0 may do everything. */
  readonly uid: number;
  /** The group it runs as. */
  readonly gid: number;
  /** RLIMIT_MEMLOCK in bytes, which binds every user but 0. */
  readonly memlock: number;
  /** Bytes that containers lock, `VmLck`. */
  locked: number;
  /** Bytes that iommufd pins, `VmPin`. */
  pinned: number;
  /** Its memory. */
  readonly memory: AddressMap;
  /** Its open files, by descriptor. */
  readonly files: ReadonlyMap<number, OpenFile>;
  /** Gives an open file a descriptor. */
  install(file: OpenFile): number;
  /** The open file behind a descriptor: EBADF where there is none. */
  file(fd: number): OpenFile;
}
