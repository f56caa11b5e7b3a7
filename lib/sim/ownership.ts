import type { FileStatus } from "../kernel/kernel.ts";
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
  const changed = changes.get(subject)?.get(path);
  if (changed === undefined) return initial;
  const { mode = initial.mode } = changed;
  return {
    ...initial,
    ...changed,
    mode: initial.mode & ~PERMISSIONS | mode & PERMISSIONS,
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
