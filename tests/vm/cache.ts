/**
 * The cache of what takes long to make: kernels, initramfs, package lists. It
 * is outside the checkout, so that a fresh clone finds it, and may be deleted
 * at any time.
 *
 * @module
 */
import { homedir } from "node:os";
import { dirname, join } from "@std/path";
import { note } from "./progress.ts";

/** The last work that this process has queued for each lock. */
const queues = new Map<string, Promise<unknown>>();

/**
 * The cache directory, `$XDG_CACHE_HOME/passthru` or `~/.cache/passthru`.
 *
 * @returns An absolute path; nothing is created.
 */
export function cacheDir(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") ||
    join(homedir(), ".cache");
  return join(base, "passthru");
}

/**
 * Runs `work` while nothing else runs under the same name, in this process or
 * in another.
 *
 * @param name The lock's name, a path below the cache directory.
 * @param work What to do while the lock is held.
 * @returns What `work` returns.
 */
export async function locked<T>(
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const before = queues.get(name);
  const turn = (async () => {
    await before?.catch(() => {}); // reported where it began
    return await lockedHere(name, work);
  })();
  queues.set(name, turn);
  return await turn;
}

/** Does the same, for one call at a time in this process. */
async function lockedHere<T>(
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const path = join(cacheDir(), "locks", name.replaceAll("/", "-"));
  await Deno.mkdir(dirname(path), { recursive: true });
  using file = await Deno.open(path, { create: true, write: true });
  const notice = setTimeout(
    () => note(`waiting for another run that is making ${name}`),
    1000,
  );
  try {
    await file.lock(true);
  } finally {
    clearTimeout(notice);
  }
  return await work();
}

/**
 * Returns the path of a cache entry, and makes the entry first if it is
 * missing.
 *
 * An entry appears under its name only when `make` has returned: a run that is
 * killed leaves nothing that looks finished, and of two runs that want the same
 * entry the second waits for the first.
 *
 * @param name The entry's path below the cache directory.
 * @param make Fills the directory, or writes the file, at the path that it
 * gets.
 * @returns The absolute path of the finished entry.
 */
export async function cached(
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const path = join(cacheDir(), name);
  if (await exists(path)) return path;
  return await locked(name, async () => {
    if (await exists(path)) return path;
    const partial = `${path}.partial`;
    await removeAll(partial);
    await Deno.mkdir(dirname(path), { recursive: true });
    try {
      await make(partial);
      await Deno.rename(partial, path);
    } finally {
      await removeAll(partial);
    }
    return path;
  });
}

/**
 * Hashes a text, for the names of entries that are made from it.
 *
 * @param text The text.
 * @returns Twelve hexadecimal digits.
 */
export async function fingerprint(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(digest).toHex().slice(0, 12);
}

/**
 * Whether something exists at `path`.
 *
 * @param path The path to look at.
 * @returns `true` when it exists.
 */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function removeAll(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path, { recursive: true });
}
