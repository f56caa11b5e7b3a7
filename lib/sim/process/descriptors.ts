/**
 * The file descriptors of a process, and their open files (`fs/file.c`).
 *
 * @module
 */

import { O_RDONLY, O_WRONLY } from "../../uapi/linux/fcntl.ts";
import type { OpenFile } from "../fs/file.ts";
import { unlock } from "../fs/flock.ts";
import { refuse } from "./refusal.ts";

/**
 * An open file description: it holds the file's locks, and closes the file at
 * the end.
 */
export class Description {
  /** The open file. */
  readonly file: OpenFile;
  /** Its access mode, of `O_ACCMODE`. */
  readonly access: number;
  /** How many descriptors and mappings keep it open. */
  #holders = 1;

  /**
   * Makes a description with one holder.
   *
   * @param file The open file.
   * @param access Its access mode, of `O_ACCMODE`.
   */
  constructor(file: OpenFile, access: number) {
    this.file = file;
    this.access = access;
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
   * Gives an open file the lowest free descriptor, as Linux does. Descriptors 0
   * to 2 belong to the terminal.
   *
   * @param file The open file.
   * @param access Its access mode, of `O_ACCMODE`.
   */
  install(file: OpenFile, access: number): number {
    let fd = 3;
    while (this.#open.has(fd)) fd++;
    this.#open.set(fd, new Description(file, access));
    this.#files.set(fd, file);
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
    const { file, access } = this.get(fd);
    return access === O_WRONLY ? refuse("EBADF") : file;
  }

  /** Returns the file of a descriptor that was opened for writing. */
  toWrite(fd: number): OpenFile {
    const { file, access } = this.get(fd);
    return access === O_RDONLY ? refuse("EBADF") : file;
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
