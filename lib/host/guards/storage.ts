/**
 * File systems, swap and loop devices, and the block devices they are on.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { S_IFBLK, S_IFMT } from "../../uapi/linux/statx.ts";
import { openersText, processes, processName, readable } from "../openers.ts";
import { basename } from "../path.ts";
import { exists, ifPresent, namesIn, realPath } from "../sysfs.ts";

const BLOCK = "/sys/class/block";
const BTRFS = "/sys/fs/btrfs";

/** A mounted file system. */
export interface Mount {
  /** Where it is mounted. */
  readonly point: string;
  /** The block devices that it is on, as `major:minor`. */
  readonly devices: readonly string[];
}

/** An area for swap. */
export interface Swap {
  /** The file, where it is one in a file system. */
  readonly file: string | undefined;
  /** The block devices that it is on, as `major:minor`. */
  readonly devices: readonly string[];
}

/** A loop device. */
export interface Loop {
  /** Its name: `"loop0"`. */
  readonly name: string;
  /** The block devices that it is on, as `major:minor`. */
  readonly devices: readonly string[];
}

/** What is on block devices; each part is read when first asked for. */
export class Storage {
  readonly #kernel: Kernel;
  #mounts: readonly Mount[] | undefined;
  #swaps: readonly Swap[] | undefined;
  #loops: readonly Loop[] | undefined;

  /** @param kernel The system. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The file systems that this process sees mounted. */
  get mounts(): readonly Mount[] {
    return this.#mounts ??= this.#readMounts("self", (entry) => [
      entry.device,
      ...this.#devicesOfAnonymous(entry),
    ]);
  }

  /** The areas for swap. */
  get swaps(): readonly Swap[] {
    return this.#swaps ??= this.#readSwaps();
  }

  /** The loop devices that are in use. */
  get loops(): readonly Loop[] {
    return this.#loops ??= namesIn(this.#kernel, BLOCK)
      .filter((name) => /^loop\d+$/.test(name))
      .flatMap((name) => {
        const file = this.#text(`${BLOCK}/${name}/loop/backing_file`);
        if (file === undefined) return [];
        return [{ name, devices: this.#devicesOf(file) }];
      });
  }

  /**
   * Where other processes see one of these devices mounted, this one seeing
   * none of that: "/srv, as dockerd (process 12) sees it".
   *
   * @param devices Block devices, as `major:minor`.
   */
  mountedElsewhere(devices: readonly string[]): string | undefined {
    const kernel = this.#kernel;
    const namespaceOf = (pid: number | "self") =>
      readable(() => kernel.readlink(`/proc/${pid}/ns/mnt`));
    const seen = new Set([namespaceOf("self")]);
    for (const pid of processes(kernel)) {
      const namespace = namespaceOf(pid);
      if (seen.has(namespace)) continue;
      seen.add(namespace);
      const mounts = readable(() =>
        this.#readMounts(pid, ({ device }) => [device])
      );
      const found = mounts?.find((mount) => isOn(mount, devices));
      if (found !== undefined) {
        const observer = openersText([{ pid, name: processName(kernel, pid) }]);
        return `${found.point}, as ${observer} sees it`;
      }
    }
  }

  /** The `major:minor` of a block device. */
  numberOf(name: string): string | undefined {
    return this.#text(`${BLOCK}/${name}/dev`);
  }

  /** The names of a disk's partitions. */
  partitionsOf(name: string): string[] {
    return namesIn(this.#kernel, `${BLOCK}/${name}`).filter((below) =>
      below.startsWith(name) &&
      exists(this.#kernel, `${BLOCK}/${name}/${below}/partition`)
    );
  }

  /** The names of the volumes that are made of a disk or a partition. */
  holdersOf(name: string): string[] {
    return namesIn(this.#kernel, `${BLOCK}/${name}/holders`);
  }

  /** The path that people know a block device by. */
  nodeOf(name: string): string {
    const mapped = this.#text(`${BLOCK}/${name}/dm/name`);
    return mapped === undefined
      ? `/dev/${name.replaceAll("!", "/")}`
      : `/dev/mapper/${mapped}`;
  }

  #text(path: string): string | undefined {
    return ifPresent(() => this.#kernel.readFile(path))?.trimEnd();
  }

  #readMounts(
    process: number | "self",
    devicesOf: (entry: MountEntry) => string[],
  ): Mount[] {
    const text = this.#text(`/proc/${process}/mountinfo`) ?? "";
    return text.split("\n").flatMap((line) => {
      const entry = mountEntry(line);
      if (entry === undefined) return [];
      return [{ point: entry.point, devices: devicesOf(entry) }];
    });
  }

  /**
   * A file system that can be on several devices shows a number that is none
   * of theirs. It names one of them as what is mounted.
   */
  #devicesOfAnonymous({ device, source }: MountEntry): string[] {
    if (!device.startsWith("0:") || !source.startsWith("/dev/")) return [];
    const shown = this.#numberAt(source);
    if (shown === undefined) return [];
    const kernel = this.#kernel;
    for (const id of namesIn(kernel, BTRFS)) {
      const members = namesIn(kernel, `${BTRFS}/${id}/devices`)
        .flatMap((name) => this.numberOf(name) ?? []);
      if (members.includes(shown)) return members;
    }
    return [shown];
  }

  #readSwaps(): Swap[] {
    const [, ...lines] = (this.#text("/proc/swaps") ?? "").split("\n");
    return lines.map((line) => {
      const [path = "", type] = line.split(/\s+/).map(unescaped);
      return {
        file: type === "file" ? path : undefined,
        devices: this.#devicesOf(path),
      };
    });
  }

  /** The devices that a path is on: itself, or those of its file system. */
  #devicesOf(path: string): readonly string[] {
    const number = this.#numberAt(path);
    if (number !== undefined) return [number];
    // Of several at the same place the last one is what is seen.
    const mount = this.mounts.filter(({ point }) =>
      path.startsWith(point === "/" ? "/" : `${point}/`)
    ).reduce<Mount | undefined>(
      (best, each) =>
        each.point.length >= (best?.point.length ?? 0) ? each : best,
      undefined,
    );
    return mount?.devices ?? [];
  }

  /** The `major:minor` of the block device whose node is at a path. */
  #numberAt(path: string): string | undefined {
    const kernel = this.#kernel;
    const status = readable(() => kernel.stat(path));
    if (status !== undefined && (status.mode & S_IFMT) === S_IFBLK) {
      return status.device;
    }
    // In a container the node may be missing; its name is known still.
    if (!path.startsWith("/dev/")) return undefined;
    return this.numberOf(basename(realPath(kernel, path) ?? path));
  }
}

/** Whether something is on one of these devices. */
export function isOn(
  what: { readonly devices: readonly string[] },
  devices: readonly string[],
): boolean {
  return what.devices.some((device) => devices.includes(device));
}

/** A line of `mountinfo`, see proc_pid_mountinfo(5). */
interface MountEntry {
  readonly device: string;
  readonly point: string;
  readonly source: string;
}

function mountEntry(line: string): MountEntry | undefined {
  const [before = "", after = ""] = line.split(" - ");
  const [, , device, , point] = before.split(" ");
  const [, source = ""] = after.split(" ");
  if (device === undefined || point === undefined) return undefined;
  return { device, point: unescaped(point), source: unescaped(source) };
}

/** Text in which procfs has written blanks as `\040`. */
function unescaped(text: string): string {
  return text.replace(
    /\\([0-7]{3})/g,
    (_, digits) => String.fromCharCode(parseInt(digits, 8)),
  );
}
