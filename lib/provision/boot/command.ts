/**
 * Looks at the command that the boot unit runs as root.
 *
 * @module
 */

import { dirname } from "../../host/path.ts";
import { ifPresent, realPath } from "../../host/sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";

/** Write permission of the group and of others. */
const OTHERS_WRITE = 0o022;

/** On a directory: only the owner of a file may remove or replace it. */
const STICKY = 0o1000;

/**
 * Lists what of a command other users than root can change: who can does what
 * root may do, at the next boot.
 *
 * @param kernel The system.
 * @param command The words of the command. Those that are no path, or the path
 * of nothing, are left out.
 * @returns A sentence for each file or directory.
 */
export function changeableParts(
  kernel: Kernel,
  command: readonly string[],
): string[] {
  const paths = new Set<string>();
  for (const word of command) {
    const path = pathIn(word);
    const real = path === undefined ? undefined : realPath(kernel, path);
    if (real === undefined) continue;
    for (let part = real; part !== "/"; part = dirname(part)) paths.add(part);
  }
  return [...paths].flatMap((path) => {
    const status = ifPresent(() => kernel.stat(path));
    if (status === undefined) return [];
    const { uid, mode } = status;
    if (uid !== 0) return `${path} belongs to user ${uid}, not to root`;
    const isChangeable = (mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0;
    return isChangeable ? `other users may write to ${path}` : [];
  });
}

/** The path that a word is, also as a URL or behind an option. */
function pathIn(word: string): string | undefined {
  const text = /^(?:-[^=]*=)?(\/.*|file:\/\/\/.*)$/.exec(word)?.[1];
  if (text === undefined || text.startsWith("/")) return text;
  return URL.parse(text) === null
    ? undefined
    : decodeURIComponent(new URL(text).pathname);
}
