/**
 * Who has a device node open.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import { printable } from "../printable.ts";

/** A process that has one of the nodes open. */
export interface Opener {
  /** Its process id. */
  readonly pid: number;
  /** Its name, as the kernel has it: at most 15 characters. */
  readonly name: string;
}

/**
 * The processes that have any of these device nodes open, this one included.
 * Processes that this user may not inspect are not found.
 *
 * @param kernel The system.
 * @param nodes Paths of device nodes: `/dev/vfio/12`.
 */
export function openers(
  kernel: Kernel,
  nodes: readonly string[],
): Opener[] {
  const found = [...openersByNode(kernel, nodes).values()].flat();
  return [...new Map(found.map((opener) => [opener.pid, opener])).values()]
    .sort((a, b) => a.pid - b.pid);
}

/**
 * Like {@linkcode openers}, for each node.
 *
 * @param kernel The system.
 * @param nodes Paths of device nodes.
 * @returns The nodes that are open, and who has them open.
 */
export function openersByNode(
  kernel: Kernel,
  nodes: readonly string[],
): Map<string, Opener[]> {
  if (nodes.length === 0) return new Map();
  const wanted = new Set(nodes);
  return openersWhere(kernel, (path) => wanted.has(path));
}

/**
 * Who has files open whose path a test accepts.
 *
 * @param kernel The system.
 * @param isWanted Tests a path.
 * @returns The files that are open, and who has them open.
 */
export function openersWhere(
  kernel: Kernel,
  isWanted: (path: string) => boolean,
): Map<string, Opener[]> {
  const found = new Map<string, Opener[]>();
  for (const pid of processes(kernel)) {
    const open = [...openFiles(kernel, pid)].filter(isWanted);
    if (open.length === 0) continue;
    const opener = { pid, name: processName(kernel, pid) };
    for (const path of open) {
      found.set(path, [...found.get(path) ?? [], opener]);
    }
  }
  return found;
}

/**
 * The processes that write to a file by their standard input or output. A write
 * that can block is made by a child that has nothing open but the attribute, as
 * descriptor 0 (`lib/kernel/libc/child.ts`); programs such as `dd` have it as 1.
 *
 * @param kernel The system.
 * @param isWanted Whether a path is meant.
 */
export function writers(
  kernel: Kernel,
  isWanted: (path: string) => boolean,
): Opener[] {
  return processes(kernel)
    .filter((pid) =>
      ["0", "1"].some((fd) => {
        const path = readable(() => kernel.readlink(`/proc/${pid}/fd/${fd}`));
        return path !== undefined && isWanted(path);
      })
    )
    .map((pid) => ({ pid, name: processName(kernel, pid) }));
}

/**
 * Openers in words: `qemu-system-x86 (process 4711)`. Control characters of
 * their names are escaped.
 */
export function openersText(found: readonly Opener[]): string {
  return found.map(({ pid, name }) =>
    name === "" ? `process ${pid}` : `${printable(name)} (process ${pid})`
  ).join(", ");
}

/** The ids of all processes. */
export function processes(kernel: Kernel): number[] {
  return (readable(() => kernel.readdir("/proc")) ?? [])
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** A process's name, as the kernel has it; empty where that cannot be read. */
export function processName(kernel: Kernel, pid: number): string {
  return readable(() => kernel.readFile(`/proc/${pid}/comm`))?.trimEnd() ?? "";
}

/**
 * What `read` returns, or `undefined` when it throws: processes end and close
 * files while they are read, or belong to other users.
 */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The paths of the files that a process has open, as `/proc` shows them. */
export function openFiles(kernel: Kernel, pid: number): Set<string> {
  const directory = `/proc/${pid}/fd`;
  const fds = readable(() => kernel.readdir(directory)) ?? [];
  return new Set(
    fds.flatMap((fd) =>
      readable(() => kernel.readlink(`${directory}/${fd}`)) ?? []
    ),
  );
}
