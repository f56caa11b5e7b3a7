/**
 * Drops a journal.
 *
 * @module
 */

import type { WaitOptions } from "../host/driver/deadline.ts";
import type { Host } from "../host/host.ts";
import { ifPresent } from "../host/sysfs.ts";
import { unlinkIfPresent } from "../kernel/files.ts";
import { orFileError } from "../host/journal/file_error.ts";
import { pathsOf } from "../host/journal/journal.ts";
import { underLock } from "./make.ts";

/**
 * Removes the files of a journal, usually of a damaged one. What it records
 * stays on the host as it is, and cannot be undone any more.
 *
 * @param host The host.
 * @param id The name of its files, without the extension: `"apply-3"`,
 * `"take-4"` for a device that a script has taken, or `"persist-desk"` for the
 * files that {@linkcode persist} has installed.
 * @param options A signal, and a time limit in milliseconds for the wait for
 * another process.
 * @returns Whether there was such a journal.
 * @throws {TypeError} When the id is not one of a journal.
 * @throws {VfioError} `LOCKED` when another process is changing the host,
 * `PERMISSION_DENIED`, or `KERNEL`.
 *
 * @example
 * ```ts
 * import { simulate } from "@passthru/vfio/sim";
 * import { forget } from "@passthru/vfio/provision";
 *
 * const host = simulate();
 * console.log(await forget(host, "apply-3")); // => false
 * ```
 */
export async function forget(
  host: Host,
  id: string,
  options: WaitOptions = {},
): Promise<boolean> {
  if (!/^(?:(?:apply|take)-\d+|persist-[A-Za-z0-9][\w.-]*)$/.test(id)) {
    throw new TypeError(
      `Cannot forget ${JSON.stringify(id)}: expected the name of a journal, ` +
        "such as apply-3",
    );
  }
  const { kernel } = host;
  return await underLock(host, options, () => {
    const found = pathsOf(id).filter((path) =>
      ifPresent(() => kernel.lstat(path)) !== undefined
    );
    for (const path of found) {
      orFileError(() => unlinkIfPresent(kernel, path), path);
    }
    return Promise.resolve(found.length > 0);
  });
}
