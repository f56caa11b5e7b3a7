import type { Directory, FileNode, Node, Process } from "./file.ts";
import { refuse } from "./refusal.ts";

/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;

/**
 * Finds what a path leads to, as the kernel does: ENOENT, ENOTDIR and ELOOP.
 *
 * @param root What `/` is.
 * @param path An absolute path.
 * @param process Who asks.
 */
export function resolve(
  root: Directory,
  path: string,
  process: Process,
): Directory | FileNode {
  const node = walk(root, path, process, true);
  if (node.kind === "link") throw new Error("A link at the end was followed");
  return node;
}

/** As {@linkcode resolve}, but a link at the path's end is not followed. */
export function resolveLink(
  root: Directory,
  path: string,
  process: Process,
): Node {
  return walk(root, path, process, false);
}

function walk(
  root: Directory,
  path: string,
  process: Process,
  follow: boolean,
): Node {
  if (!path.startsWith("/")) refuse("ENOENT");
  const rest = path.split("/").filter((name) => name !== "").reverse();
  let trail: Directory[] = [root];
  let node: Node = root;
  let links = 0;
  while (rest.length > 0) {
    const name = rest.pop()!;
    if (node.kind !== "directory") refuse("ENOTDIR");
    if (name === ".") continue;
    if (name === "..") {
      if (trail.length > 1) trail.pop();
      node = trail.at(-1)!;
      continue;
    }
    const found: Node = node.lookup(name, process) ?? refuse("ENOENT");
    if (found.kind === "link" && (follow || rest.length > 0)) {
      if (++links > MAX_LINKS) refuse("ELOOP");
      const parts = found.target.split("/").filter((part) => part !== "");
      rest.push(...parts.reverse());
      if (found.target.startsWith("/")) trail = [root];
      node = trail.at(-1)!;
      continue;
    }
    if (found.kind === "directory") trail.push(found);
    node = found;
  }
  return node;
}
