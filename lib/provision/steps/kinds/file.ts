/**
 * Steps that write files and symbolic links.
 *
 * @module
 */

import { orFileError } from "../../../host/journal/file_error.ts";
import { makeDirectories } from "../../../kernel/files.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  bytesOf,
  type FileEntry,
  missingDirectories,
  putEntry,
  readEntry,
  removeDirectory,
  removeDraft,
} from "../../journal/files.ts";
import type { FileStep, LinkStep, StepBase } from "../step.ts";
import { changed, type StepKind } from "../kind.ts";

/** What was at the path before. */
export interface FileBefore {
  /** The file or the link; `null` where nothing was. */
  readonly entry: FileEntry | null;
  /** The directories that were missing, the uppermost first. */
  readonly missing: readonly string[];
}

const DEFAULT_MODE = 0o644;

/** Steps that write or remove a file, or make a link. */
export const fileKind: StepKind<FileStep | LinkStep, FileBefore> = {
  holds({ host: { kernel } }, step) {
    return Promise.resolve(isEntry(kernel, step.path, wantedEntry(step)));
  },

  capture({ host: { kernel } }, { path }) {
    return Promise.resolve(captureEntry(kernel, path));
  },

  make({ host: { kernel } }, step, before) {
    makeEntry(kernel, step.path, wantedEntry(step), before);
    return Promise.resolve();
  },

  undo({ host: { kernel } }, step, before, made) {
    undoEntry(kernel, step, before, made ? wantedEntry(step) : undefined);
    return Promise.resolve();
  },
};

/**
 * Whether a path has a file or a link.
 *
 * @param kernel The system.
 * @param path The path.
 * @param entry What should be there; `null` for nothing.
 */
export function isEntry(
  kernel: Kernel,
  path: string,
  entry: FileEntry | null,
): boolean {
  return orFileError(() => isSameEntry(readEntry(kernel, path), entry), path);
}

/** Captures what is at a path. */
export function captureEntry(kernel: Kernel, path: string): FileBefore {
  return orFileError(() => ({
    entry: readEntry(kernel, path),
    missing: missingDirectories(kernel, path),
  }), path);
}

/**
 * Puts a file or a link at a path, and makes the directories above it.
 *
 * @param kernel The system.
 * @param path The path.
 * @param entry What is there afterwards; `null` for nothing.
 * @param before What was captured.
 */
export function makeEntry(
  kernel: Kernel,
  path: string,
  entry: FileEntry | null,
  { missing }: FileBefore,
): void {
  orFileError(() => {
    if (entry === null && missing.length > 0) return;
    if (missing.length > 0) makeDirectories(kernel, missing.at(-1)!);
    putEntry(kernel, path, entry);
  }, path);
}

/**
 * Brings back what was at a path.
 *
 * @param kernel The system.
 * @param step The step that changed it.
 * @param before What was captured.
 * @param made What the step is known to have put there; `undefined` where that
 * is not known.
 * @throws {VfioError} `CHANGED` when something else is there.
 */
export function undoEntry(
  kernel: Kernel,
  { path, device }: StepBase & { readonly path: string },
  { entry, missing }: FileBefore,
  made: FileEntry | null | undefined,
): void {
  orFileError(() => {
    const now = readEntry(kernel, path);
    if (!isSameEntry(now, entry)) {
      if (made !== undefined && !isSameEntry(now, made)) {
        throw changed(device, `${path} was changed`);
      }
      putEntry(kernel, path, entry);
    }
    removeDraft(kernel, path);
    for (const directory of missing.toReversed()) {
      removeDirectory(kernel, directory);
    }
  }, path);
}

function wantedEntry(step: FileStep | LinkStep): FileEntry | null {
  if (step.kind === "link") return { target: step.target };
  const { text, mode } = step;
  return text === null ? null : textEntry(text, mode);
}

/** A file of root's with a text. */
export function textEntry(text: string, mode = DEFAULT_MODE): FileEntry {
  return { text, mode, uid: 0, gid: 0 };
}

function isSameEntry(now: FileEntry | null, wanted: FileEntry | null): boolean {
  if (now === null || wanted === null) return now === wanted;
  if ("target" in now || "target" in wanted) {
    return "target" in now && "target" in wanted &&
      now.target === wanted.target;
  }
  return isSame(bytesOf(now), bytesOf(wanted)) && now.mode === wanted.mode &&
    now.uid === wanted.uid && now.gid === wanted.gid;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
