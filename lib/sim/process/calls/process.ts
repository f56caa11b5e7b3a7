/**
 * What a simulated process is, without its calls.
 *
 * @module
 */

import { O_RDWR } from "../../../uapi/linux/fcntl.ts";
import type { Directory, Node, OpenFile, Process } from "../../fs/file.ts";
import { lockOf } from "../../fs/flock.ts";
import { Description, Descriptors } from "../descriptors.ts";
import type { Kernel, ProgramResult } from "../../../kernel/kernel.ts";
import type { HugePages } from "../huge_pages.ts";
import type { PhysicalMemory } from "../physical.ts";
import { AddressMap } from "../memory.ts";

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
  /** Runs a program. Refuses one that is not there. */
  run(process: Process, path: string, args: readonly string[]): ProgramResult;
  /** Forgets a process that has ended. */
  reap(process: Process): void;
}

/** A process on a simulated machine: its user, its descriptors, its memory. */
export class SimProcess implements Process {
  readonly pid: number;
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly memlock: number;
  locked = 0;
  pinned = 0;
  readonly memory: AddressMap = new AddressMap();
  /** The system that it runs on. */
  protected readonly system: System;
  /** Its open files. */
  protected readonly descriptors: Descriptors = new Descriptors();

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
    this.system = system;
    this.pid = pid;
    this.name = name;
    this.uid = uid;
    this.gid = gid;
    this.memlock = memlock;
    const { inherits } = options;
    if (inherits === undefined) return;
    const { from, fds } = inherits;
    if (!(from instanceof SimProcess)) {
      throw new TypeError("Cannot inherit descriptors of another system");
    }
    for (const fd of fds) {
      const description = from.descriptors.find(fd);
      if (description === undefined) {
        throw new TypeError(`Cannot inherit descriptor ${fd}: it is not open`);
      }
      description.hold();
      this.descriptors.install(description);
    }
  }

  get files(): ReadonlyMap<number, OpenFile> {
    return this.descriptors.files;
  }

  install(file: OpenFile, flags = O_RDWR, node?: Node): number {
    return this.descriptors.install(new Description(file, flags, node));
  }

  lockOf(fd: number): number | undefined {
    const description = this.descriptors.get(fd);
    const { inode } = description.file;
    return inode && lockOf(inode, description);
  }

  file(fd: number): OpenFile {
    return this.descriptors.get(fd).file;
  }

  hold(fd: number): () => void {
    const description = this.descriptors.get(fd);
    description.hold();
    return () => description.release();
  }

  /** Ends the process, as SIGKILL does. Its files are closed. */
  exit(): void {
    this.memory.release();
    this.descriptors.closeAll();
    this.system.reap(this);
  }
}
