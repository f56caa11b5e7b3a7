/**
 * What paths and file descriptors lead to in the simulated system.
 *
 * @module
 */

import type { FileStatus } from "../kernel/kernel.ts";
import type { Ioctl } from "../uapi/ioctl.ts";
import type { SimKernel } from "./kernel.ts";
import type { Pages } from "./memory.ts";

/** What a path leads to. */
export type Node = Directory | Link | FileNode;

/** A directory. What is in it is made when it is looked at. */
export interface Directory {
  readonly kind: "directory";
  /** The names in it, in any order. */
  names(): Iterable<string>;
  /** What a name leads to. */
  lookup(name: string): Node | undefined;
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
  /** Opens it; who may has been checked. */
  open(process: SimKernel): OpenFile;
}

/**
 * An open file. A method that is not there answers as the kernel does for a
 * file that lacks it: ENOTTY for an ioctl, ENODEV for mmap, else EINVAL.
 *
 * A method that would block gives a promise.
 */
export interface OpenFile {
  /** What `/proc/PID/fd` shows: a path, or `anon_inode:[vfio-device]`. */
  readonly shown: string;
  /** Reads at the current position. */
  read?(into: Uint8Array): number;
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
    process: SimKernel,
  ): number | Promise<number>;
  /** The memory behind a part of the file. */
  mmap?(length: number, offset: bigint): Pages;
  /** The `POLL*` bits that are set; `changed` is called when that changes. */
  poll?(changed: () => void): number;
  /** The last descriptor is closed, and nothing of it is mapped any more. */
  close(): void;
}
