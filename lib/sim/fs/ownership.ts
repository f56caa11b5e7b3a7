import type { FileStatus } from "../../kernel/kernel.ts";
import type { Ownership } from "./file.ts";

/** The bits of `st_mode` that chmod changes. */
const PERMISSIONS = 0o7777;

/** By what a file belongs to, so that it goes with it; and by its path. */
const changes = new WeakMap<object, Map<string, Ownership>>();

/**
 * What is known of a file whose owner and mode can be changed.
 *
 * @param subject What it belongs to.
 * @param path The file.
 * @param initial Its owner and mode unless they were changed.
 */
export function statusOf(
  subject: object,
  path: string,
  initial: FileStatus,
): FileStatus {
  const to = changes.get(subject)?.get(path);
  return to === undefined ? initial : changed(initial, to);
}

/** A file's status with another owner or mode. */
export function changed(status: FileStatus, to: Ownership): FileStatus {
  const { mode = status.mode } = to;
  return {
    ...status,
    ...to,
    mode: status.mode & ~PERMISSIONS | mode & PERMISSIONS,
  };
}

/** Changes a file's owner or mode for as long as `subject` is there. */
export function changeStatus(
  subject: object,
  path: string,
  to: Ownership,
): void {
  let files = changes.get(subject);
  if (files === undefined) changes.set(subject, files = new Map());
  files.set(path, { ...files.get(path), ...to });
}
