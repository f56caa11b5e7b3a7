/**
 * Absolute paths, as sysfs has them. `node:path` would cost a script 10 ms at
 * its start, as much as listing some hundred functions.
 *
 * @module
 */

/** The last part of a path. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** A path without its last part. */
export function dirname(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 1));
}

/**
 * Resolves paths against an absolute one, and removes `.`, `..` and repeated
 * slashes. Links are not followed.
 *
 * @param from An absolute path.
 * @param paths What follows, each relative to what is before, or absolute.
 */
export function resolve(from: string, ...paths: readonly string[]): string {
  return resolveSimple(from, paths) ?? resolveByParts(from, paths);
}

/** Links in sysfs go up, then down, so they need not be split into parts. */
function resolveSimple(
  from: string,
  paths: readonly string[],
): string | undefined {
  const [path] = paths;
  if (path === undefined || paths.length > 1 || path.startsWith("/")) return;
  let base = from;
  let down = 0;
  for (; path.startsWith("../", down); down += 3) base = dirname(base);
  const rest = path.slice(down);
  const isPlain = rest !== "" && !rest.startsWith(".") && !rest.endsWith("/") &&
    !rest.includes("/.") && !rest.includes("//") && !from.includes("/.") &&
    !from.includes("//") && base !== "/";
  return isPlain ? `${base}/${rest}` : undefined;
}

function resolveByParts(from: string, paths: readonly string[]): string {
  const parts: string[] = [];
  for (const path of [from, ...paths]) {
    if (path.startsWith("/")) parts.length = 0;
    for (const part of path.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
  }
  return `/${parts.join("/")}`;
}
