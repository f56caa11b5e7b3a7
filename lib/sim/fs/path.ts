import type { Directory, FileNode, Node, Process } from "./file.ts";
import { assertMay, MAY_SEARCH } from "./permission.ts";
import { NOT_THERE, type Refusal, refuse } from "../process/refusal.ts";

/** How many links Linux follows in one path. */
const MAX_LINKS = 40;

/** The longest name in a directory, in bytes. */
const MAX_NAME = 255;

/** The place that a path leads to. */
export interface Place {
  /** The directory of its last name. */
  readonly directory: Directory;
  /** The directories on the way, including that one. */
  readonly trail: readonly Node[];
  /** Its last name; `undefined` for `/` and for a path that ends in dots. */
  readonly name: string | undefined;
  /** The node of that name; `undefined` where there is none. */
  readonly node: Node | undefined;
}

/**
 * Finds the node of a path, with the kernel's errors: ENOENT, ENOTDIR, EACCES
 * and ELOOP.
 *
 * @param root The root directory.
 * @param path An absolute path.
 * @param process The process.
 */
export function resolve(
  root: Directory,
  path: string,
  process: Process,
): Directory | FileNode | Refusal {
  const { node } = placeOf(root, path, process, true);
  if (node === undefined) return NOT_THERE;
  if (node.kind === "link") throw new Error("A link at the end was followed");
  return node;
}

/**
 * Finds the node of a path as {@linkcode resolve} does, but does not follow a
 * link at its end.
 */
export function resolveLink(
  root: Directory,
  path: string,
  process: Process,
): Node | Refusal {
  return placeOf(root, path, process, false).node ?? NOT_THERE;
}

/**
 * Finds the place of a path, even if its last name does not exist.
 *
 * @param root The root directory.
 * @param path An absolute path.
 * @param process The process.
 * @param follow Whether a link at its end is followed.
 */
export function placeOf(
  root: Directory,
  path: string,
  process: Process,
  follow: boolean,
): Place {
  if (!path.startsWith("/")) refuse("ENOENT");
  const remaining = [...partsOf(path)];
  let trail: Directory[] = [root];
  let links = 0;
  for (;;) {
    const directory = trail.at(-1)!;
    const name = remaining.pop();
    if (name === undefined) {
      const above = trail.at(-2) ?? root;
      return { directory: above, trail, name, node: directory };
    }
    assertMay(process, directory, MAY_SEARCH);
    if (name === ".") continue;
    if (name === "..") {
      if (trail.length > 1) trail.pop();
      continue;
    }
    if (isTooLong(name)) refuse("ENAMETOOLONG");
    const node = directory.lookup(name, process);
    const last = remaining.length === 0;
    if (node?.kind === "link" && (follow || !last)) {
      if (++links > MAX_LINKS) refuse("ELOOP");
      remaining.push(...partsOf(node.target));
      if (node.target.startsWith("/")) trail = [root];
    } else if (last) {
      return { directory, trail, name, node };
    } else if (node === undefined) refuse("ENOENT");
    else if (node.kind === "directory") trail.push(node);
    else refuse("ENOTDIR");
  }
}

const ENCODER = new TextEncoder();

function isTooLong(name: string): boolean {
  // UTF-8 has at most three bytes for each UTF-16 unit.
  return 3 * name.length > MAX_NAME && ENCODER.encode(name).length > MAX_NAME;
}

/**
 * The names in paths that were split before. Callers use the same paths often.
 */
const splitPaths = new Map<string, readonly string[]>();

/** How many paths are remembered: more than tests of one machine use. */
const MAX_SPLIT_PATHS = 20_000;

/** Splits a path into names, in reverse order. */
function partsOf(path: string): readonly string[] {
  let parts = splitPaths.get(path);
  if (parts === undefined) {
    parts = path.split("/").filter((name) => name !== "").reverse();
    if (splitPaths.size >= MAX_SPLIT_PATHS) splitPaths.clear();
    splitPaths.set(path, parts);
  }
  return parts;
}
