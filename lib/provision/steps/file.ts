/**
 * Steps that write files and symbolic links.
 *
 * @module
 */

import { orFileError } from "../../host/journal/file_error.ts";
import { makeDirectories } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  bytesOf,
  type FileEntry,
  missingDirectories,
  putEntry,
  readEntry,
  removeDirectory,
  removeDraft,
} from "../journal/files.ts";
import type { FileStep, LinkStep } from "./step.ts";
import { changed, type StepKind } from "./kind.ts";

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
    return Promise.resolve(
      orFileError(
        () => isSameEntry(readEntry(kernel, step.path), wantedEntry(step)),
        step.path,
      ),
    );
  },

  capture({ host: { kernel } }, { path }) {
    return Promise.resolve(orFileError(() => ({
      entry: readEntry(kernel, path),
      missing: missingDirectories(kernel, path),
    }), path));
  },

  make({ host: { kernel } }, step, { missing }) {
    orFileError(() => {
      const entry = wantedEntry(step);
      if (entry === null && missing.length > 0) return;
      if (missing.length > 0) makeDirectories(kernel, missing.at(-1)!);
      putEntry(kernel, step.path, entry);
    }, step.path);
    return Promise.resolve();
  },

  undo({ host: { kernel } }, step, before, made) {
    orFileError(() => undo(kernel, step, before, made), step.path);
    return Promise.resolve();
  },
};

function undo(
  kernel: Kernel,
  step: FileStep | LinkStep,
  { entry, missing }: FileBefore,
  made: boolean,
): void {
  const { path, device } = step;
  const now = readEntry(kernel, path);
  if (!isSameEntry(now, entry)) {
    if (made && !isSameEntry(now, wantedEntry(step))) {
      throw changed(device, `${path} was changed`);
    }
    putEntry(kernel, path, entry);
  }
  removeDraft(kernel, path);
  for (const directory of missing.toReversed()) {
    removeDirectory(kernel, directory);
  }
}

function wantedEntry(step: FileStep | LinkStep): FileEntry | null {
  if (step.kind === "link") return { target: step.target };
  const { text, mode = DEFAULT_MODE } = step;
  return text === null ? null : { text, mode, uid: 0, gid: 0 };
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
