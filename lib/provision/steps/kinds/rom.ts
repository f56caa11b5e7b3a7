/**
 * Steps that copy ROMs to files.
 *
 * @module
 */

import {
  assertRomAccess,
  hasRom,
  hideRom,
  readRom,
} from "../../../host/pci/rom.ts";
import { orFileError } from "../../../host/journal/file_error.ts";
import { makeDirectories } from "../../../kernel/files.ts";
import {
  missingDirectories,
  putEntry,
  putFile,
  removeDirectory,
  removeDraft,
} from "../../journal/files.ts";
import { functionIfThere } from "../functions.ts";
import { assertRomOf, holdsRom, readRomFile } from "../rom_file.ts";
import type { RomStep } from "../step.ts";
import { changed, type StepKind } from "../kind.ts";

/** What was at the path before: no file. */
export interface RomBefore {
  /** The directories that were missing, the uppermost first. */
  readonly missing: readonly string[];
}

/** What was written. */
export interface RomMade {
  /** The SHA-256 of the file, in hexadecimal digits. */
  readonly sha256: string;
}

/** Steps that copy a ROM to a file, where there was none. */
export const romKind: StepKind<RomStep, RomBefore, RomMade> = {
  holds({ host }, { device, path }) {
    return Promise.resolve(holdsRom(host.function(device), path));
  },

  capture({ host }, { device, path }) {
    // Checked before anything is written: without the right to enable the ROM,
    // undoing would fail too.
    assertRomAccess(host.function(device));
    return Promise.resolve(
      orFileError(
        () => ({ missing: missingDirectories(host.kernel, path) }),
        path,
      ),
    );
  },

  async make({ host }, { device, path }, { missing }) {
    const fn = host.function(device);
    const { kernel } = host;
    const bytes = readRom(fn);
    assertRomOf(
      fn,
      bytes,
      "the content of its ROM",
      "put a file of the vendor's at that path instead",
    );
    const sha256 = await digest(bytes);
    orFileError(() => {
      if (missing.length > 0) makeDirectories(kernel, missing.at(-1)!);
      putFile(kernel, path, bytes, { mode: 0o644, uid: 0, gid: 0 });
    }, path);
    return { sha256 };
  },

  async undo({ host }, { device, path }, { missing }, made, result) {
    const { kernel } = host;
    const fn = functionIfThere(host, device);
    // A process that was killed may have left the ROM enabled.
    if (!made && fn !== undefined && hasRom(fn)) hideRom(fn);
    const now = orFileError(() => readRomFile(kernel, path), path);
    if (now !== null && made && await digest(now) !== result?.sha256) {
      throw changed(device, `${path} was changed`);
    }
    orFileError(() => {
      if (now !== null) putEntry(kernel, path, null);
      removeDraft(kernel, path);
      for (const directory of missing.toReversed()) {
        removeDirectory(kernel, directory);
      }
    }, path);
  },
};

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(hash).toHex();
}
