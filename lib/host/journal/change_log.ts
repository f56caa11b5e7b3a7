/**
 * The log of changes to the host, which stays when they are undone.
 *
 * A change is not refused because the log cannot be written: the journal has
 * what is needed to undo it.
 *
 * @module
 */

import { writeAll } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { O_APPEND, O_CREAT, O_WRONLY } from "../../uapi/linux/fcntl.ts";
import { processName } from "../openers.ts";
import { ifPresent } from "../sysfs.ts";
import { processId } from "./lock.ts";
import { openOwn } from "./own_files.ts";

/** The log's file. Whoever rotates logs may rename it. */
export const CHANGE_LOG = "/var/log/passthru.jsonl";

/** What was done to changes. */
export type ChangeEvent = "applied" | "failed" | "undone";

/** An entry of the log. */
export interface ChangeEntry {
  /** When, in ISO 8601. */
  readonly at: string;
  /** What was done. */
  readonly event: ChangeEvent;
  /** The name of the journal: `"apply-3"`. It is free again once undone. */
  readonly id: string;
  /** The name that it was applied under. */
  readonly name?: string;
  /** The process. */
  readonly pid: number;
  /** Its name. */
  readonly process: string;
  /** The user who logged in, or else the user of the process; an id. */
  readonly user?: number;
  /** The changes, a line each: `"0000:01:00.0: driver vfio-pci"`. */
  readonly changes: readonly string[];
}

/** The journal of changes. */
export interface LoggedJournal {
  readonly id: string;
  readonly head: { readonly name?: string };
}

/**
 * Writes an entry, where that is possible.
 *
 * @param kernel The system.
 * @param event What was done.
 * @param journal The journal of the changes.
 * @param changes The changes, a line each.
 */
export function logChange(
  kernel: Kernel,
  event: ChangeEvent,
  { id, head: { name } }: LoggedJournal,
  changes: readonly string[],
): void {
  if (changes.length === 0) return;
  try {
    const flags = O_WRONLY | O_APPEND | O_CREAT;
    using file = openOwn(kernel, CHANGE_LOG, flags);
    const pid = processId(kernel);
    const user = userOf(kernel);
    const line: ChangeEntry = {
      at: new Date().toISOString(),
      event,
      id,
      ...name === undefined ? {} : { name },
      pid,
      process: processName(kernel, pid),
      ...user === undefined ? {} : { user },
      changes,
    };
    writeAll(kernel, file.number, `${JSON.stringify(line)}\n`);
  } catch {
    // It has no place on this host, or that is full.
  }
}

/** Nobody has logged in: `AUDIT_UID_UNSET`. */
const UNSET = 0xffffffff;

function userOf(kernel: Kernel): number | undefined {
  const login = ifPresent(() => kernel.readFile("/proc/self/loginuid"));
  if (login !== undefined && Number(login) !== UNSET) return Number(login);
  const status = ifPresent(() => kernel.readFile("/proc/self/status")) ?? "";
  const [, uid] = /^Uid:\s+(\d+)/m.exec(status) ?? [];
  return uid === undefined ? undefined : Number(uid);
}
