/**
 * The nodes and open files of the simulated system.
 *
 * @module
 */

import type { FileStatus } from "../../kernel/kernel.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import type { AddressMap, Pages, PagesSlice } from "../process/memory.ts";

/** A node that a path leads to. */
export type Node = Directory | Link | FileNode;

/** A directory. Its entries are made when they are read. */
export interface Directory {
  readonly kind: "directory";
  /**
   * Returns the names in it, in any order. In procfs they depend on the
   * process.
   */
  names(process: Process): Iterable<string>;
  /** Returns the node of a name. */
  lookup(name: string, process: Process): Node | undefined;
  /** Its owner and mode. Default: root, with mode 0755. */
  readonly status?: FileStatus | undefined;
  /** Its entries, if names can be added and removed. */
  readonly entries?: Map<string, Node> | undefined;
  /** Changes its owner or mode, if it keeps them. */
  change?(to: Ownership): void;
}

/** A symbolic link. */
export interface Link {
  readonly kind: "link";
  /** The path that it leads to: absolute, or relative to its directory. */
  readonly target: string;
}

/** An attribute or a device node. */
export interface FileNode {
  readonly kind: "file";
  /** Its owner, mode and device number. */
  readonly status: FileStatus;
  /**
   * Opens it with `O_*` bits, by a path. The permissions were checked before.
   */
  open(process: Process, flags: number, path: string): OpenFile;
  /** Changes its owner or mode, if it keeps them. */
  change?(to: Ownership): void;
}

/** The properties of a file that chown and chmod change. */
export interface Ownership {
  /** The owner. */
  readonly uid?: number;
  /** The owner's group. */
  readonly gid?: number;
  /** Permission bits. */
  readonly mode?: number;
}

/**
 * An open file. A missing method answers as the kernel does for such a file:
 * ENOTTY for an ioctl, ENODEV for mmap, else EINVAL.
 *
 * A method that would block returns a promise.
 */
export interface OpenFile {
  /** Its text in `/proc/PID/fd`: a path, or `anon_inode:[vfio-device]`. */
  readonly linkText: string;
  /** An object that all descriptions of the file share. It can be locked. */
  readonly inode?: object | undefined;
  /** Waits until reading would not block. */
  readable?(): void | Promise<void>;
  /** Sets its length, in bytes. */
  truncate?(length: number): void;
  /** Returns when what was written is on the disk. */
  sync?(): void;
  /** Reads at the current position. */
  read?(into: Uint8Array): number;
  /** Returns the whole text, if it is text that is known at once. */
  text?(): string;
  /** Gives a socket its address. */
  bindAddress?(address: Uint8Array): void;
  /** Writes at the current position. */
  write?(from: Uint8Array): number | Promise<number>;
  /** Reads at an offset. */
  pread?(into: Uint8Array, offset: bigint): number;
  /** Writes at an offset. */
  pwrite?(from: Uint8Array, offset: bigint): number;
  /** Answers an ioctl. `argument` is passed by reference or by value. */
  ioctl?(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | Promise<number>;
  /** Returns the memory of a part of the file. */
  mmap?(length: number, offset: bigint): Pages;
  /** All of its memory, if it is a file in memory. */
  readonly pages?: Pages;
  /**
   * Returns a part of its memory, if it is a dma-buf. ENODEV while the device
   * has revoked it.
   */
  dmaBuf?(start: number, length: number): PagesSlice;
  /**
   * Returns the `POLL*` bits that are set, and calls `changed` when they
   * change.
   */
  poll?(changed: () => void): number;
  /** Called when the last descriptor is closed and nothing of it is mapped. */
  close(): void;
}

/** A process, as its files see it. */
export interface Process {
  /** Its process id. */
  readonly pid: number;
  /** Its name in `/proc/PID/comm`. */
  readonly name: string;
  /** The user that it runs as. User 0 may do everything. */
  readonly uid: number;
  /** The group that it runs as. */
  readonly gid: number;
  /** RLIMIT_MEMLOCK in bytes. It does not apply to user 0. */
  readonly memlock: number;
  /** Bytes that containers lock, `VmLck`. */
  locked: number;
  /** Bytes that iommufd pins, `VmPin`. */
  pinned: number;
  /** Its memory. */
  readonly memory: AddressMap;
  /** Its open files, by descriptor. */
  readonly files: ReadonlyMap<number, OpenFile>;
  /** Returns the lock that a descriptor's opening holds, `LOCK_*`. */
  lockOf(fd: number): number | undefined;
  /**
   * Gives an open file a descriptor.
   *
   * @param file The file.
   * @param flags What it is open for, `O_*` bits. Default: `O_RDWR`.
   */
  install(file: OpenFile, flags?: number): number;
  /** Returns the open file of a descriptor. EBADF where there is none. */
  file(fd: number): OpenFile;
  /**
   * Keeps the file of a descriptor open, and returns what ends that. EBADF where
   * there is none.
   */
  hold(fd: number): () => void;
}
