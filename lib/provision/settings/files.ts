/**
 * Files of settings, as they are and as they become.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { ifPresent } from "../../host/sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { ConfigurationFile } from "../steps/step.ts";

const PERMISSIONS = 0o7777;
const DEFAULT_MODE = 0o644;

/**
 * The text of a file; `undefined` where there is none.
 *
 * @param kernel The system.
 * @param path The file.
 * @throws {VfioError} `NOT_SUPPORTED` when it is no text: it would not be kept.
 */
export function textAt(kernel: Kernel, path: string): string | undefined {
  const bytes = ifPresent(() => kernel.readFileBytes(path));
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    throw new VfioError("NOT_SUPPORTED", {
      problem: `${path} is no UTF-8, and cannot be changed safely`,
      hint: "change it by hand",
    });
  }
}

/**
 * The change of a file; `undefined` where it has that text already. The file
 * keeps its permissions: some file systems have no others.
 *
 * @param kernel The system.
 * @param path The file.
 * @param text Its text afterwards.
 */
export function changedFile(
  kernel: Kernel,
  path: string,
  text: string,
): ConfigurationFile | undefined {
  if ((textAt(kernel, path) ?? "") === text) return undefined;
  const status = ifPresent(() => kernel.stat(path));
  const mode = (status?.mode ?? DEFAULT_MODE) & PERMISSIONS;
  return { path, text, ...mode !== DEFAULT_MODE && { mode } };
}
