/**
 * Checks permissions of files (`fs/namei.c`, `fs/attr.c`).
 *
 * @module
 */

import type { FileStatus } from "../../kernel/kernel.ts";
import type { Directory, Node, Ownership, Process } from "./file.ts";
import { refuse } from "../process/refusal.ts";

/** The permission to read a file, as one digit of its mode. */
export const MAY_READ = 0o4;
/** The permission to write to a file, or to change the names in a directory. */
export const MAY_WRITE = 0o2;
/** The permission to look names up in a directory. */
export const MAY_SEARCH = 0o1;

const S_ISVTX = 0o1000;

/** The default status of a directory. */
export const DIRECTORY_STATUS: FileStatus = {
  mode: 0o040755,
  uid: 0,
  gid: 0,
  device: "0:0",
};

/** What is known of a link. The simulation does not keep whose it is. */
const LINK_STATUS: FileStatus = { ...DIRECTORY_STATUS, mode: 0o120777 };

/** What is known of a directory, a file or a link. */
export function statusOfNode(node: Node): FileStatus {
  return node.kind === "link" ? LINK_STATUS : node.status ?? DIRECTORY_STATUS;
}

/** Refuses with EACCES unless a process has all permissions of `wanted`. */
export function assertMay(
  { uid, gid }: Process,
  node: Exclude<Node, { kind: "link" }>,
  wanted: number,
): void {
  if (uid === 0) return;
  const status = statusOfNode(node);
  const shift = status.uid === uid ? 6 : status.gid === gid ? 3 : 0;
  if ((status.mode >> shift & wanted) !== wanted) refuse("EACCES");
}

/**
 * Refuses unless a process may remove a name: `may_delete()` in `fs/namei.c`.
 *
 * @param process The process.
 * @param directory The directory of the name.
 * @param node The node of the name.
 */
export function assertMayRemove(
  process: Process,
  directory: Directory,
  node: Node,
): void {
  assertMay(process, directory, MAY_WRITE | MAY_SEARCH);
  const status = statusOfNode(directory);
  if ((status.mode & S_ISVTX) === 0) return;
  // The simulation does not store the owners of links.
  const owner = node.kind === "link" ? status.uid : statusOfNode(node).uid;
  if (![0, owner, status.uid].includes(process.uid)) refuse("EPERM");
}

/** Refuses with EPERM unless a process may make these changes. */
export function assertMayChange(
  process: Process,
  status: FileStatus,
  to: Ownership,
): void {
  if (process.uid === 0) return;
  if (process.uid !== status.uid) refuse("EPERM");
  if (to.uid !== undefined && to.uid !== status.uid) refuse("EPERM");
  const groups = [process.gid, status.gid];
  if (to.gid !== undefined && !groups.includes(to.gid)) refuse("EPERM");
}
