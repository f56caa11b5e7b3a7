import type { FileStatus } from "../../kernel/kernel.ts";
import type { Ownership } from "./file.ts";

/** The bits of `st_mode` that chmod changes. */
const PERMISSIONS = 0o7777;

/**
 * The changes, by the subject that a file belongs to and by path. They are
 * dropped with the subject.
 */
const changes = new WeakMap<object, Map<string, Ownership>>();

/**
 * Returns the status of a file whose owner and mode can be changed.
 *
 * @param subject The subject that it belongs to.
 * @param path The file.
 * @param initial Its original status.
 */
export function statusOf(
  subject: object,
  path: string,
  initial: FileStatus,
): FileStatus {
  const to = changes.get(subject)?.get(path);
  return to === undefined ? initial : changed(initial, to);
}

/** Returns a status with another owner or mode. */
export function changed(status: FileStatus, to: Ownership): FileStatus {
  const { mode = status.mode } = to;
  return {
    ...status,
    ...to,
    mode: status.mode & ~PERMISSIONS | mode & PERMISSIONS,
  };
}

/** Changes a file's owner or mode as long as `subject` exists. */
export function changeStatus(
  subject: object,
  path: string,
  to: Ownership,
): void {
  let files = changes.get(subject);
  if (files === undefined) changes.set(subject, files = new Map());
  files.set(path, { ...files.get(path), ...to });
}
