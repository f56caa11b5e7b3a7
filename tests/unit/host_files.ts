/**
 * The files by which Linux tells of disks, volumes and network interfaces, for
 * simulated hosts.
 */
import type { LinkRecording } from "../../lib/host/snapshot/recording.ts";

/** A block device. */
interface Block {
  /** Its directory. */
  readonly path: string;
  /** `major:minor`; without it, it is hidden. */
  readonly number?: string;
  /** Default: a disk. */
  readonly type?: "disk" | "partition";
}

/** Gathers what is written to a simulated host before it begins. */
export class HostFiles {
  /** What `Topology.files` takes. */
  readonly all: Record<string, string | LinkRecording> = {};
  readonly #mounts: string[] = [];
  readonly #paths = new Map<string, string>();

  /** A disk, with as many partitions; minors count from the disk's. */
  disk(path: string, number: string, partitions = 0): this {
    this.#block({ path, number });
    const [major, minor] = number.split(":");
    const name = path.split("/").at(-1)!;
    for (let i = 1; i <= partitions; i++) {
      const part = `${path}/${name}${/\d$/.test(name) ? "p" : ""}${i}`;
      this.#block({
        path: part,
        number: `${major}:${Number(minor) + i}`,
        type: "partition",
      });
      this.all[`${part}/partition`] = `${i}\n`;
    }
    return this;
  }

  /** One path of several to a namespace. */
  hidden(path: string): this {
    this.#block({ path });
    return this;
  }

  /** A volume that is made of block devices, and has a name where it is DM's. */
  volume(name: string, number: string, on: string[], mapped?: string): this {
    const path = `/sys/devices/virtual/block/${name}`;
    this.disk(path, number);
    if (mapped !== undefined) {
      this.all[`${path}/dm/name`] = `${mapped}\n`;
      this.all[`/dev/mapper/${mapped}`] = { link: `/dev/${name}` };
    }
    for (const lower of on) {
      this.all[`${this.#paths.get(lower)}/holders/${name}`] = { link: path };
    }
    return this;
  }

  /** A loop device. */
  loop(name: string, number: string, file: string): this {
    const path = `/sys/devices/virtual/block/${name}`;
    this.disk(path, number);
    this.all[`${path}/loop/backing_file`] = `${file}\n`;
    return this;
  }

  /** A mounted file system, as the first process sees it. */
  mount(number: string, point: string, source = "none", type = "ext4"): this {
    this.#mounts.push(
      `${40 + this.#mounts.length} 1 ${number} / ${point} rw shared:1 ` +
        `- ${type} ${source} rw\n`,
    );
    this.all["/proc/1000/mountinfo"] = this.#mounts.join("");
    return this;
  }

  /** Lines of `/proc/swaps`. */
  swaps(...lines: string[]): this {
    this.all["/proc/swaps"] =
      "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
      lines.map((line) => `${line}\n`).join("");
    return this;
  }

  /** A character device that a driver made. */
  char(path: string, number: string, node: string): this {
    this.all[`${path}/uevent`] = `DEVNAME=${node}\n`;
    this.all[`/sys/dev/char/${number}`] = { link: path };
    this.all[`/dev/${node}`] = "";
    return this;
  }

  /** A network interface, and what is made of it. */
  network(path: string, ...uppers: string[]): this {
    const name = path.split("/").at(-1)!;
    this.all[`${path}/uevent`] = `INTERFACE=${name}\nIFINDEX=2\n`;
    this.all[`/sys/class/net/${name}`] = { link: path };
    for (const upper of uppers) {
      this.all[`${path}/upper_${upper}`] = {
        link: `/sys/devices/virtual/net/${upper}`,
      };
    }
    return this;
  }

  /** IPv4 routes: interface, destination and mask as procfs has them, flags. */
  routes(...routes: [string, string, string, string?][]): this {
    this.all["/proc/1000/net/route"] =
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU" +
      "\tWindow\tIRTT\n" +
      routes.map(([name, destination, mask, flags = "0003"]) =>
        `${name}\t${destination}\t00000000\t${flags}\t0\t0\t0\t${mask}` +
        "\t0\t0\t0          \n"
      ).join("");
    return this;
  }

  /** A file, by its path. */
  file(path: string, text: string | LinkRecording): this {
    this.all[path] = text;
    return this;
  }

  #block({ path, number, type = "disk" }: Block): void {
    const name = path.split("/").at(-1)!;
    this.#paths.set(name, path);
    this.all[`/sys/class/block/${name}`] = { link: path };
    this.all[`${path}/uevent`] = `DEVTYPE=${type}\n` +
      (number === undefined ? "" : `DEVNAME=${name}\n`);
    if (number === undefined) return;
    this.all[`${path}/dev`] = `${number}\n`;
    this.all[`/dev/${name}`] = "";
  }
}
