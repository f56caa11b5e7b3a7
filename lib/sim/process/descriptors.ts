/**
 * The file descriptors of a process, and their open files (`fs/file.c`).
 *
 * @module
 */

import { O_ACCMODE, O_RDONLY, O_WRONLY } from "../../uapi/linux/fcntl.ts";
import type { Node, OpenFile } from "../fs/file.ts";
import { unlock } from "../fs/flock.ts";
import { refuse } from "./refusal.ts";

/**
 * An open file description: it holds the file's locks, and closes the file at
 * the end.
 */
export class Description {
  /** The open file. */
  readonly file: OpenFile;
  /** What it was opened with, `O_*` bits. */
  readonly flags: number;
  /** What its path led to, where it had one. */
  readonly node: Node | undefined;
  /** Descriptors and mappings that keep it open. */
  #holders = 1;

  /**
   * Makes a description with one holder.
   *
   * @param file What is open.
   * @param flags What it was opened with, `O_*` bits.
   * @param node What its path led to.
   */
  constructor(file: OpenFile, flags: number, node?: Node) {
    this.file = file;
    this.flags = flags;
    this.node = node;
  }

  /** Adds a holder. */
  hold(): void {
    this.#holders++;
  }

  /** Removes a holder. The last one closes the file. */
  release(): void {
    if (--this.#holders > 0) return;
    const { inode } = this.file;
    if (inode !== undefined) unlock(inode, this);
    this.file.close();
  }
}

/** The descriptors of a process. An unknown descriptor is EBADF. */
export class Descriptors {
  readonly #open = new Map<number, Description>();
  readonly #files = new Map<number, OpenFile>();

  /** The open files, by descriptor. */
  get files(): ReadonlyMap<number, OpenFile> {
    return this.#files;
  }

  /**
   * Gives an opening a descriptor: the lowest that is free, as Linux does; 0 to
   * 2 are the terminal's.
   *
   * @param description The opening.
   * @param lowest The lowest descriptor that it gets.
   */
  install(description: Description, lowest = 3): number {
    let fd = Math.max(lowest, 3);
    while (this.#open.has(fd)) fd++;
    this.#open.set(fd, description);
    this.#files.set(fd, description.file);
    return fd;
  }

  /** Returns the description of a descriptor, or `undefined`. */
  find(fd: number): Description | undefined {
    return this.#open.get(fd);
  }

  /** Returns the description of a descriptor. */
  get(fd: number): Description {
    return this.#open.get(fd) ?? refuse("EBADF");
  }

  /** Returns the file of a descriptor that was opened for reading. */
  toRead(fd: number): OpenFile {
    const { file, flags } = this.get(fd);
    return (flags & O_ACCMODE) === O_WRONLY ? refuse("EBADF") : file;
  }

  /** Returns the file of a descriptor that was opened for writing. */
  toWrite(fd: number): OpenFile {
    const { file, flags } = this.get(fd);
    return (flags & O_ACCMODE) === O_RDONLY ? refuse("EBADF") : file;
  }

  /** Closes a descriptor. */
  close(fd: number): void {
    const description = this.get(fd);
    this.#open.delete(fd);
    this.#files.delete(fd);
    description.release();
  }

  /** Closes all descriptors. */
  closeAll(): void {
    for (const fd of this.#open.keys()) this.close(fd);
  }
}
