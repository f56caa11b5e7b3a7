/**
 * Reads and writes what is on the disk of a machine, and the owners of nodes.
 *
 * @module
 */

import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../uapi/linux/statx.ts";
import { O_CREAT, O_TRUNC, O_WRONLY } from "../../uapi/linux/fcntl.ts";
import type { FileStatus } from "../../kernel/kernel.ts";
import { writeAll } from "../../kernel/files.ts";
import type { SimKernel } from "../process/kernel.ts";
import type { DiskAccess, DiskEntry, Kept } from "./kept.ts";

/** The permission bits of `st_mode`. */
const PERMISSIONS = 0o7777;

const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** The file systems that are not on the disk. */
const VIEWS: ReadonlySet<string> = new Set(["/dev", "/proc", "/sys"]);

/**
 * Reads all that is on the disk.
 *
 * @param init A process of root's.
 */
export function diskOf(init: SimKernel): NonNullable<Kept["disk"]> {
  const disk: Record<string, DiskEntry> = {};
  const read = (directory: string) => {
    for (const name of init.readdir(directory || "/").sort()) {
      const path = `${directory}/${name}`;
      if (VIEWS.has(path)) continue;
      const status = init.lstat(path);
      const entry = entryAt(init, path, status);
      if (entry === undefined) continue;
      disk[path] = entry;
      if ("directory" in entry) read(path);
    }
  };
  read("");
  return disk;
}

function entryAt(
  init: SimKernel,
  path: string,
  status: FileStatus,
): DiskEntry | undefined {
  switch (status.mode & S_IFMT) {
    case S_IFLNK:
      return { target: init.readlink(path) };
    case S_IFDIR:
      return { directory: true, ...accessOf(status, DIRECTORY_MODE) };
    case S_IFREG: {
      const bytes = init.readFileBytes(path);
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
      const isText = new TextEncoder().encode(text).toHex() === bytes.toHex();
      return {
        ...isText ? { text } : { base64: bytes.toBase64() },
        ...accessOf(status, FILE_MODE),
      };
    }
    default:
      return undefined;
  }
}

function accessOf(
  { uid, gid, mode }: FileStatus,
  usual: number,
): DiskAccess {
  return {
    ...(uid !== 0 && { uid }),
    ...(gid !== 0 && { gid }),
    ...((mode & PERMISSIONS) !== usual && { mode: mode & PERMISSIONS }),
  };
}

/** The modes of nodes, unless they were changed. */
const NODE_MODES: Readonly<Record<string, number>> = {
  "/dev/iommu": 0o660,
  "/dev/vfio/vfio": 0o666,
};
const DEVICE_NODE_MODE = 0o600;

/**
 * Reads the owners and modes of the nodes of VFIO and iommufd that are not at
 * their defaults.
 *
 * @param init A process of root's.
 */
export function nodesOf(init: SimKernel): NonNullable<Kept["nodes"]> {
  const nodes: Record<string, Required<DiskAccess>> = {};
  const read = (path: string) => {
    const { uid, gid, mode } = init.stat(path);
    if ((mode & S_IFMT) === S_IFDIR) {
      for (const name of init.readdir(path)) read(`${path}/${name}`);
      return;
    }
    const bits = mode & PERMISSIONS;
    if (uid + gid > 0 || bits !== (NODE_MODES[path] ?? DEVICE_NODE_MODE)) {
      nodes[path] = { uid, gid, mode: bits };
    }
  };
  for (const name of init.readdir("/dev")) {
    if (name === "vfio" || name === "iommu") read(`/dev/${name}`);
  }
  return nodes;
}

/**
 * Writes an entry of the disk.
 *
 * @param init A process of root's.
 * @param path Where it goes.
 * @param entry The entry.
 * @returns The owner and the mode to give it, but for a link.
 */
export function putOnDisk(
  init: SimKernel,
  path: string,
  entry: DiskEntry,
): Required<DiskAccess> | undefined {
  if ("target" in entry) {
    init.symlink(entry.target, path);
    return undefined;
  }
  const { uid = 0, gid = 0 } = entry;
  if ("directory" in entry) {
    if (!isDirectory(init, path)) init.mkdir(path, DIRECTORY_MODE);
    return { uid, gid, mode: entry.mode ?? DIRECTORY_MODE };
  }
  const fd = init.open(path, O_WRONLY | O_CREAT | O_TRUNC, FILE_MODE);
  try {
    writeAll(
      init,
      fd,
      "text" in entry ? entry.text : Uint8Array.fromBase64(entry.base64),
    );
  } finally {
    init.close(fd);
  }
  return { uid, gid, mode: entry.mode ?? FILE_MODE };
}

/** Whether a directory is there: each disk has some from the start. */
function isDirectory(init: SimKernel, path: string): boolean {
  const [name] = path.split("/").slice(-1);
  const parent = path.slice(0, -name!.length - 1) || "/";
  return init.readdir(parent).includes(name!) &&
    (init.lstat(path).mode & S_IFMT) === S_IFDIR;
}
