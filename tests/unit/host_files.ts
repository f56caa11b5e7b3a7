/**
 * The files in which Linux shows disks, volumes and network interfaces, for
 * simulated hosts.
 */
import type { LinkRecording } from "../../lib/host/snapshot/recording.ts";

/** A block device. */
interface Block {
  /** Its directory. */
  readonly path: string;
  /** `major:minor`. Without it the device is hidden. */
  readonly number?: string;
  /** Default: a disk. */
  readonly type?: "disk" | "partition";
}

/** Collects the files of a simulated host. */
export class HostFiles {
  /** The value for `Topology.files`. */
  readonly all: Record<string, string | LinkRecording> = {};
  readonly #mounts: string[] = [];
  readonly #paths = new Map<string, string>();

  /**
   * Adds a disk with partitions. Their minor numbers follow that of the disk.
   */
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

  /** Adds a hidden disk: one of several paths to a namespace. */
  hidden(path: string): this {
    this.#block({ path });
    return this;
  }

  /** Adds a volume on block devices. One of the device mapper has a name. */
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

  /** Adds a loop device. */
  loop(name: string, number: string, file: string): this {
    const path = `/sys/devices/virtual/block/${name}`;
    this.disk(path, number);
    this.all[`${path}/loop/backing_file`] = `${file}\n`;
    return this;
  }

  /** Adds a mounted file system in the first process's namespace. */
  mount(number: string, point: string, source = "none", type = "ext4"): this {
    this.#mounts.push(
      `${40 + this.#mounts.length} 1 ${number} / ${point} rw shared:1 ` +
        `- ${type} ${source} rw\n`,
    );
    this.all["/proc/1000/mountinfo"] = this.#mounts.join("");
    return this;
  }

  /** Adds lines of `/proc/swaps`. */
  swaps(...lines: string[]): this {
    this.all["/proc/swaps"] =
      "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
      lines.map((line) => `${line}\n`).join("");
    return this;
  }

  /** Adds a character device of a driver. */
  char(path: string, number: string, node: string): this {
    this.all[`${path}/uevent`] = `DEVNAME=${node}\n`;
    this.all[`/sys/dev/char/${number}`] = { link: path };
    this.all[`/dev/${node}`] = "";
    return this;
  }

  /** Adds a network interface, and the interfaces above it. */
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

  /**
   * Adds IPv4 routes: the interface, the destination and mask as in procfs, and
   * the flags.
   */
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

  /** Adds a file. */
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
