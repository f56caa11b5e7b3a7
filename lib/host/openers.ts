/**
 * Who has a device node open.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";

/** A process that has one of the nodes open. */
export interface Opener {
  /** Its process id. */
  readonly pid: number;
  /** Its name, as the kernel has it: at most 15 characters. */
  readonly name: string;
}

/**
 * The processes that have any of these device nodes open, this one included.
 * Those that this user may not look into are not found.
 *
 * @param kernel The system.
 * @param nodes Paths of device nodes: `/dev/vfio/12`.
 */
export function openers(
  kernel: Kernel,
  nodes: readonly string[],
): Opener[] {
  if (nodes.length === 0) return [];
  return (readable(() => kernel.readdir("/proc")) ?? [])
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => hasOpen(kernel, `/proc/${pid}/fd`, nodes))
    .map((pid) => ({
      pid: Number(pid),
      name: readable(() => kernel.readFile(`/proc/${pid}/comm`))?.trimEnd() ??
        "",
    }));
}

/** Openers in words: `qemu-system-x86 (process 4711)`. */
export function openersText(found: readonly Opener[]): string {
  return found.map(({ pid, name }) =>
    name === "" ? `process ${pid}` : `${name} (process ${pid})`
  ).join(", ");
}

function hasOpen(
  kernel: Kernel,
  directory: string,
  nodes: readonly string[],
): boolean {
  const fds = readable(() => kernel.readdir(directory)) ?? [];
  return fds.some((fd) => {
    const target = readable(() => kernel.readlink(`${directory}/${fd}`));
    return target !== undefined && nodes.includes(target);
  });
}

// Processes end and close while they are looked at, and belong to others.
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
