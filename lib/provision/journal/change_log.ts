/**
 * The log of changes to the host: what was applied, failed and undone.
 *
 * @module
 */

import { hasErrno } from "../../kernel/errno.ts";
import { readAll } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { O_RDONLY } from "../../uapi/linux/fcntl.ts";
import type { Host } from "../../host/host.ts";
import {
  CHANGE_LOG,
  type ChangeEntry,
  type ChangeEvent,
  logChange,
  type LoggedJournal,
} from "../../host/journal/change_log.ts";
import { orFileError } from "../../host/journal/file_error.ts";
import { openOwn } from "../../host/journal/own_files.ts";
import { stepSubject, stepText } from "../plan/text.ts";
import type { Step } from "../steps/step.ts";

export type {
  ChangeEntry,
  ChangeEvent,
} from "../../host/journal/change_log.ts";

/** The longest log that is read, in bytes: its end. */
const MOST = 64 << 20;

/**
 * Writes what happened to steps, where that is possible.
 *
 * @param kernel The system.
 * @param event What was done.
 * @param journal The journal of the changes.
 * @param steps The changes.
 */
export function logSteps(
  kernel: Kernel,
  event: ChangeEvent,
  journal: LoggedJournal,
  steps: readonly Step[],
): void {
  logChange(
    kernel,
    event,
    journal,
    steps.map((step) => `${stepSubject(step)}: ${stepText(step)}`),
  );
}

/**
 * Reads what was changed on a host by {@linkcode apply} and `Host.take()`, and
 * undone, the oldest first. It is kept in {@linkcode CHANGE_LOG}, where there is a `/var/log`.
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
