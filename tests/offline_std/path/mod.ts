/**
 * The part of `@std/path` that this project uses, for machines that do not
 * reach JSR. Only POSIX paths, as VFIO exists only on Linux.
 *
 * @module
 */
import { posix } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The character between two parts of a path. */
export const SEPARATOR = "/";

/** Without slashes at the end; the root stays. */
function withoutTrailingSlashes(path: string): string {
  return path.replace(/(?<=.)\/+$/, "");
}

/** The last part of a path, without `suffix`. */
export function basename(path: string, suffix = ""): string {
  // node:path gives "" for the root.
  return /^\/+$/.test(path) ? "/" : posix.basename(path, suffix);
}

/** The directory of a path. */
export function dirname(path: string): string {
  return withoutTrailingSlashes(posix.dirname(path));
}

/** The extension of a path, dot included. */
export function extname(path: string): string {
  return posix.extname(path);
}

/** The path of a `file:` URL. */
export function fromFileUrl(url: string | URL): string {
  const { protocol } = url = new URL(url);
  if (protocol !== "file:") {
    throw new TypeError(`URL must be a file URL: received "${protocol}"`);
  }
  return fileURLToPath(url);
}

/** Whether a path begins at the root. */
export function isAbsolute(path: string): boolean {
  return posix.isAbsolute(path);
}

/** The parts as one normalized path. */
export function join(...paths: string[]): string {
  return posix.join(...paths);
}

/** A path with its `.`, `..` and doubled slashes resolved. */
export function normalize(path: string): string {
  return posix.normalize(path);
}

/** The path that leads from one to the other. */
export function relative(from: string, to: string): string {
  return posix.relative(from, to);
}

/** The parts as one absolute path, from right to left. */
export function resolve(...pathSegments: string[]): string {
  return posix.resolve(...pathSegments);
}

/** The `file:` URL of an absolute path. */
export function toFileUrl(path: string): URL {
  if (!isAbsolute(path)) {
    throw new TypeError(`Path must be absolute: received "${path}"`);
  }
  return pathToFileURL(path);
}
