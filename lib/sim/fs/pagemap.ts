/**
 * Shows `/proc/PID/pagemap`: where the memory of a process is
 * (`fs/proc/task_mmu.c`).
 *
 * @module
 */

import { PM_PRESENT } from "../../uapi/linux/pagemap.ts";
import type { Machine } from "../machine/machine.ts";
import { refuse } from "../process/refusal.ts";
import type { FileNode, OpenFile, Process } from "./file.ts";

const PAGE = 4096;
const ENTRY = 8;

/** Makes the file of a process. Its user can read it. */
export function pagemap(machine: Machine, process: Process): FileNode {
  const { uid, gid } = process;
  return {
    kind: "file",
    status: { mode: 0o100400, uid, gid, device: "0:0" },
    open: (reader, _flags, path) =>
      new PagemapFile(machine, process, reader.uid === 0, path),
  };
}

class PagemapFile implements OpenFile {
  readonly linkText: string;
  readonly #machine: Machine;
  readonly #process: Process;
  /** Whether the reader has CAP_SYS_ADMIN. Other readers see no addresses. */
  readonly #showsFrames: boolean;

  constructor(
    machine: Machine,
    process: Process,
    showsFrames: boolean,
    path: string,
  ) {
    this.#machine = machine;
    this.#process = process;
    this.#showsFrames = showsFrames;
    this.linkText = path;
  }

  pread(into: Uint8Array, offset: bigint): number {
    if (offset % BigInt(ENTRY) !== 0n || into.length % ENTRY !== 0) {
      refuse("EINVAL");
    }
    const view = new DataView(into.buffer, into.byteOffset, into.length);
    const first = offset / BigInt(ENTRY);
    for (let i = 0; i * ENTRY < into.length; i++) {
      view.setBigUint64(i * ENTRY, this.#entry(first + BigInt(i)), true);
    }
    return into.length;
  }

  #entry(page: bigint): bigint {
    const memory = this.#process.memory.slice(page * BigInt(PAGE), PAGE);
    if (memory === undefined || memory.pages.registers !== undefined) return 0n;
    if (!this.#showsFrames) return PM_PRESENT;
    const { address } = this.#machine.physical
      .locate(memory.pages, memory.start);
    return PM_PRESENT | address / BigInt(PAGE);
  }

  close(): void {}
}
