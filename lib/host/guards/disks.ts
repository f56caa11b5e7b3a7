/**
 * What the disks of a function are used for.
 *
 * @module
 */

import { hasErrno } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { O_EXCL, O_RDONLY } from "../../uapi/linux/fcntl.ts";
import { isOn, type Storage } from "./storage.ts";
import type { Finding } from "./use.ts";

/** How many mount points of one file system an error names. */
const POINTS = 3;

/**
 * What disks are used for, with their partitions and the volumes that are made
 * of them, by LVM, MD, dm-crypt, multipath, bcache, or loop devices.
 *
 * @param kernel The system.
 * @param storage What is on its block devices.
 * @param disks The disks' nodes.
 * @param open Nodes that processes have open, which is a use of its own.
 */
export function diskUses(
  kernel: Kernel,
  storage: Storage,
  disks: readonly string[],
  open: ReadonlyMap<string, unknown>,
): Finding[] {
  return [...new Set(disks)].flatMap((disk) => {
    const volumes = new Volumes(storage);
    const found = volumes.uses(
      disk.slice("/dev/".length).replaceAll("/", "!"),
    );
    if (found.length > 0) return [...new Set(found)];
    if (open.has(disk)) return [];
    return claim(kernel, disk, () => storage.mountedElsewhere(volumes.devices));
  });
}

/** The volumes on a disk. */
class Volumes {
  readonly #storage: Storage;
  /** By name, since a volume can consist of several partitions. */
  readonly #found = new Map<string, readonly Finding[]>();
  /** The `major:minor` of every volume that was looked at. */
  readonly devices: string[] = [];

  /** @param storage What is on the host's block devices. */
  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * The uses of a block device and of everything that is made of it.
   *
   * @param name Its name.
   * @param on What it is made of, in words; `undefined` for a disk.
   * @param part Whether it is a partition.
   */
  uses(name: string, on?: string, part = false): readonly Finding[] {
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    this.#found.set(name, []); // whatever sysfs says, this ends
    const storage = this.#storage;
    const node = storage.nodeOf(name);
    const label = on === undefined ? node : `${node} on ${on}`;
    const number = storage.numberOf(name);
    const devices = number === undefined ? [] : [number];
    this.devices.push(...devices);
    const above = [
      ...storage.holdersOf(name),
      ...storage.loops.filter((loop) => isOn(loop, devices))
        .map((loop) => loop.name),
    ];
    const found = [
      ...this.#directUses(label, devices),
      ...storage.partitionsOf(name).flatMap((name) =>
        this.uses(name, on, true)
      ),
      ...above.flatMap((name) => this.uses(name, label)),
    ];
    if (found.length === 0 && on !== undefined && !part) {
      found.push({ kind: "volume", problem: `${label} is an active volume` });
    }
    this.#found.set(name, found);
    return found;
  }

  /** The file system and the swap that are on a block device itself. */
  #directUses(label: string, devices: readonly string[]): Finding[] {
    const found: Finding[] = [];
    const points = this.#storage.mounts.filter((mount) => isOn(mount, devices))
      .map(({ point }) => point);
    if (points.length > 0) {
      found.push({
        kind: "mounted",
        problem: `${label} is mounted at ${list([...new Set(points)])}`,
      });
    }
    for (const { file, devices: swapDevices } of this.#storage.swaps) {
      if (!isOn({ devices: swapDevices }, devices)) continue;
      found.push({
        kind: "swap",
        problem: file === undefined
          ? `${label} is swap space`
          : `${label} has the swap file ${file}`,
      });
    }
    return found;
  }
}

/**
 * Whether a disk, or a part of it, is claimed by something that no other check
 * finds. File systems, swap, LVM, MD and ZFS claim their disks, in any mount
 * namespace. Opening a claimed disk with O_EXCL fails (open(2)).
 */
function claim(
  kernel: Kernel,
  disk: string,
  elsewhere: () => string | undefined,
): Finding[] {
  try {
    kernel.close(kernel.open(disk, O_RDONLY | O_EXCL));
    return [];
  } catch (error) {
    if (hasErrno(error, "ENOMEDIUM", "ENXIO", "ENODEV")) return [];
    if (!hasErrno(error, "EBUSY")) {
      return [{
        kind: "volume",
        problem: `whether ${disk} is in use is unknown: ` +
          (error as Error).message,
      }];
    }
    const point = elsewhere();
    return point === undefined
      ? [{
        kind: "volume",
        problem: `something holds ${disk}: a volume, or a program`,
      }]
      : [{ kind: "mounted", problem: `${disk} is mounted at ${point}` }];
  }
}

/** `/, /home, /srv and 12 more`. */
function list(points: readonly string[]): string {
  const shown = points.length === POINTS + 1 ? points : points.slice(0, POINTS);
  const more = points.length - shown.length;
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "");
}
