import type { Directory, FileNode, Node } from "./file.ts";
import { refuse } from "./refusal.ts";

/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;

/**
 * Finds what a path leads to, as the kernel does: ENOENT, ENOTDIR and ELOOP.
 *
 * @param root What `/` is.
 * @param path An absolute path.
 */
export function resolve(root: Directory, path: string): Directory | FileNode {
  const node = walk(root, path, true);
  if (node.kind === "link") throw new Error("A link at the end was followed");
  return node;
}

/** As {@linkcode resolve}, but a link at the path's end is not followed. */
export function resolveLink(root: Directory, path: string): Node {
  return walk(root, path, false);
}

function walk(root: Directory, path: string, follow: boolean): Node {
  if (!path.startsWith("/")) refuse("ENOENT");
  const rest = path.split("/").filter((name) => name !== "");
  let trail: Directory[] = [root];
  let node: Node = root;
  let links = 0;
  while (rest.length > 0) {
    const name = rest.shift()!;
    if (node.kind !== "directory") refuse("ENOTDIR");
    if (name === ".") continue;
    if (name === "..") {
      if (trail.length > 1) trail.pop();
      node = trail.at(-1)!;
      continue;
    }
    const found: Node = node.lookup(name) ?? refuse("ENOENT");
    if (found.kind === "link" && (follow || rest.length > 0)) {
      if (++links > MAX_LINKS) refuse("ELOOP");
      rest.unshift(...found.target.split("/").filter((part) => part !== ""));
      if (found.target.startsWith("/")) trail = [root];
      node = trail.at(-1)!;
      continue;
    }
    if (found.kind === "directory") trail.push(found);
    node = found;
  }
  return node;
}
