/**
 * The log of changes to the host, which stays when they are undone.
 *
 * A change is not refused because the log cannot be written: the journal has
 * what is needed to undo it.
 *
 * @module
 */

import { hasErrno } from "../../kernel/errno.ts";
import { readAll, writeAll } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  O_APPEND,
  O_CREAT,
  O_RDONLY,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";
import type { Host } from "../../host/host.ts";
import { orFileError } from "../../host/journal/file_error.ts";
import { processId } from "../../host/journal/lock.ts";
import { openOwn } from "../../host/journal/own_files.ts";
import { processName } from "../../host/openers.ts";
import { ifPresent } from "../../host/sysfs.ts";
import { stepSubject, stepText } from "../plan/text.ts";
import type { Step } from "../steps/step.ts";

/** The log's file. Whoever rotates logs may rename it. */
export const CHANGE_LOG = "/var/log/passthru.jsonl";

/** The longest log that is read, in bytes: its end. */
const MOST = 64 << 20;

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
interface LoggedJournal {
  readonly id: string;
  readonly head: { readonly name?: string };
}

/**
 * Writes an entry, where that is possible.
 *
 * @param kernel The system.
 * @param event What was done.
 * @param journal The journal of the changes.
 * @param steps The changes.
 */
export function logChange(
  kernel: Kernel,
  event: ChangeEvent,
  { id, head: { name } }: LoggedJournal,
  steps: readonly Step[],
): void {
  if (steps.length === 0) return;
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
      changes: steps.map((step) => `${stepSubject(step)}: ${stepText(step)}`),
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

/**
 * Reads what was changed on a host by {@linkcode apply}, and undone, the oldest
 * first. It is kept in {@linkcode CHANGE_LOG}, where there is a `/var/log`.
 * Lines that are no entries are left out.
 *
 * @param host The host.
 * @throws {VfioError} `PERMISSION_DENIED` when this user may not read it.
 *
 * @example
 * ```ts
 * import { changes } from "@passthru/vfio/provision";
 * import { simulate } from "@passthru/vfio/sim";
 *
 * for (const { at, event, process, changes: lines } of changes(simulate())) {
 *   console.log(at, event, process, lines.join("; "));
 * }
 * ```
 */
export function changes({ kernel }: Host): ChangeEntry[] {
  const text = orFileError(() => {
    try {
      using file = openOwn(kernel, CHANGE_LOG, O_RDONLY);
      return new TextDecoder().decode(readAll(kernel, file.number, MOST));
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return "";
      throw error;
    }
  }, CHANGE_LOG);
  return text.split("\n").flatMap((line) => {
    try {
      const value: unknown = JSON.parse(line);
      return isEntry(value) ? [value] : [];
    } catch {
      // A process was killed as it wrote.
      return [];
    }
  });
}

function isEntry(value: unknown): value is ChangeEntry {
  if (typeof value !== "object" || value === null) return false;
  const { at, event, id, process, pid, changes: lines, name = "" } =
    value as Record<
      string,
      unknown
    >;
  return [at, event, id, process, name].every((text) =>
    typeof text === "string"
  ) &&
    typeof pid === "number" && Array.isArray(lines) &&
    lines.every((line) => typeof line === "string");
}
