/**
 * Changes the names in directories (`fs/namei.c`).
 *
 * @module
 */

import {
  O_ACCMODE,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
} from "../../uapi/linux/fcntl.ts";
import { newDirectory, newFile, newLink } from "./disk.ts";
import type { Directory, Node, Process } from "./file.ts";
import { type Place, placeOf } from "./path.ts";
import {
  assertMay,
  assertMayRemove,
  MAY_READ,
  MAY_SEARCH,
  MAY_WRITE,
} from "./permission.ts";
import { NOT_THERE, type Refusal, refuse } from "../process/refusal.ts";

/** Makes a directory. */
export function makeDirectory(
  root: Directory,
  path: string,
  process: Process,
  mode: number,
): void {
  const place = placeOf(root, path, process, false);
  add(place, process, "EPERM", () => newDirectory(process, mode));
}

/** Makes a symbolic link. */
export function makeLink(
  root: Directory,
  path: string,
  process: Process,
  target: string,
): void {
  if (target === "") refuse("ENOENT");
  const place = placeOf(root, path, process, false);
  add(place, process, "EPERM", () => newLink(target));
}

/** The permissions that an open needs, by its `O_ACCMODE`. */
const OPEN_PERMISSIONS: readonly number[] = [
  MAY_READ,
  MAY_WRITE,
  MAY_READ | MAY_WRITE,
];

/**
 * Finds the node to open at a path, or makes it with `O_CREAT`.
 *
 * @param root The root directory.
 * @param path An absolute path.
 * @param process The process that opens it.
 * @param flags The `O_*` bits.
 * @param mode The permission bits of a new file.
 */
export function nodeToOpen(
  root: Directory,
  path: string,
  process: Process,
  flags: number,
  mode: number,
): Node | Refusal {
  const creates = (flags & O_CREAT) !== 0;
  const exclusive = creates && (flags & O_EXCL) !== 0;
  const follow = !exclusive && (flags & O_NOFOLLOW) === 0;
  const place = placeOf(root, path, process, follow);
  const { node } = place;
  if (node === undefined) {
    if (!creates) return NOT_THERE;
    return add(place, process, "EACCES", () => newFile(process, mode));
  }
  if (exclusive) refuse("EEXIST");
  if ((flags & O_PATH) !== 0) return node;
  if (node.kind === "link") return refuse("ELOOP");
  if (node.kind === "file") {
    const permissions = OPEN_PERMISSIONS[flags & O_ACCMODE] ??
      MAY_READ | MAY_WRITE;
    assertMay(process, node, permissions);
  }
  return node;
}

/**
 * Adds a node. A file system without new files refuses with `unable`, which
 * depends on the call.
 */
function add<T extends Node>(
  { directory, name, node }: Place,
  process: Process,
  unable: string,
  make: () => T,
): T {
  if (name === undefined || node !== undefined) return refuse("EEXIST");
  assertMay(process, directory, MAY_WRITE | MAY_SEARCH);
  const made = make();
  if (directory.entries === undefined) return refuse(unable);
  directory.entries.set(name, made);
  return made;
}

/** Removes an empty directory. */
export function removeDirectory(
  root: Directory,
  path: string,
  process: Process,
): void {
  const place = placeOf(root, path, process, false);
  if (place.name === undefined) refuse(lastDot(path) ? "EINVAL" : "EBUSY");
  const { directory, node } = removable(place, process);
  if (node.kind !== "directory") refuse("ENOTDIR");
  const entries = entriesOf(directory);
  const removed = entries.get(place.name) ?? refuse("EBUSY");
  if (removed.kind === "directory") assertEmpty(removed);
  entries.delete(place.name);
}

/** Removes a name that is no directory. */
export function removeFile(
  root: Directory,
  path: string,
  process: Process,
): void {
  const place = placeOf(root, path, process, false);
  const { directory, node } = removable(place, process);
  if (place.name === undefined || node.kind === "directory") refuse("EISDIR");
  entriesOf(directory).delete(place.name);
}

/** Renames a node, and replaces what has the new name. */
export function renameNode(
  root: Directory,
  from: string,
  to: string,
  process: Process,
): void {
  const source = placeOf(root, from, process, false);
  const target = placeOf(root, to, process, false);
  const sourceEntries = source.directory.entries;
  const targetEntries = target.directory.entries;
  if ((sourceEntries === undefined) !== (targetEntries === undefined)) {
    refuse("EXDEV");
  }
  if (source.name === undefined || target.name === undefined) refuse("EBUSY");
  const { node } = source;
  if (node === undefined) return refuse("ENOENT");
  if (target.trail.includes(node)) refuse("EINVAL");
  if (target.node !== undefined && source.trail.includes(target.node)) {
    refuse("ENOTEMPTY");
  }
  if (node === target.node) return;
  assertMayRemove(process, source.directory, node);
  if (target.node === undefined) {
    assertMay(process, target.directory, MAY_WRITE | MAY_SEARCH);
  } else {
    assertMayRemove(process, target.directory, target.node);
    assertReplaces(node, target.node);
  }
  if (sourceEntries === undefined || targetEntries === undefined) {
    return refuse("EPERM");
  }
  // The node is not the disk's, but one that is shown in its place.
  if (sourceEntries.get(source.name) !== node) refuse("EBUSY");
  if (targetEntries.get(target.name) !== target.node) refuse("EBUSY");
  if (target.node?.kind === "directory") assertEmpty(target.node);
  sourceEntries.delete(source.name);
  targetEntries.set(target.name, node);
}

function assertReplaces(node: Node, replaced: Node): void {
  const replacesDirectory = replaced.kind === "directory";
  if (node.kind === "directory" && !replacesDirectory) refuse("ENOTDIR");
  if (node.kind !== "directory" && replacesDirectory) refuse("EISDIR");
}

function removable(
  { directory, node }: Place,
  process: Process,
): { directory: Directory; node: Node } {
  if (node === undefined) return refuse("ENOENT");
  assertMayRemove(process, directory, node);
  return { directory, node };
}

function entriesOf(directory: Directory): Map<string, Node> {
  return directory.entries ?? refuse("EPERM");
}

function assertEmpty({ entries }: Directory): void {
  if (entries === undefined) refuse("EBUSY");
  if (entries.size > 0) refuse("ENOTEMPTY");
}

function lastDot(path: string): boolean {
  return /(?:^|\/)\.\/*$/.test(path);
}
