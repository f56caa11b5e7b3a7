/**
 * A small sysfs in memory, with as much of the driver core as the tests of
 * `lib/host/` need: binding, unbinding, overriding, and the VFIO nodes.
 */
import { posix } from "node:path";
import { errnoNumber, KernelError } from "../../lib/kernel/errno.ts";
import type { FileStatus, Kernel, Mapping } from "../../lib/kernel/kernel.ts";

type Entry =
  | { kind: "directory" }
  | { kind: "link"; target: string }
  | { kind: "file"; read: () => string; write: (text: string) => void };

function unused(): never {
  throw new Error("Not a part of sysfs");
}

/** Files, directories and links, with nothing behind them. */
export class FakeKernel implements Kernel {
  readonly pageSize = 4096;
  /** Every write, as `path: text`, in order. */
  readonly writes: string[] = [];
  /** What a write waits for, by path, before it is carried out. */
  readonly hangs = new Map<string, Promise<void>>();
  /** What happens in place of a write, by path. */
  readonly onWrite = new Map<string, () => void>();
  /** What the next writes to a path answer: an errno's name, or "" for well. */
  readonly answers = new Map<string, string[]>();
  readonly #entries = new Map<string, Entry>([["/", { kind: "directory" }]]);

  directory(path: string): void {
    if (this.#entries.has(path)) return;
    this.directory(posix.dirname(path));
    this.#entries.set(path, { kind: "directory" });
  }

  file(
    path: string,
    text: string | (() => string),
    write: (text: string) => void = () => this.#fail("EACCES", "open", path),
  ): void {
    this.directory(posix.dirname(path));
    const read = typeof text === "string" ? () => `${text}\n` : text;
    this.#entries.set(path, { kind: "file", read, write });
  }

  link(path: string, target: string): void {
    this.directory(posix.dirname(path));
    this.#entries.set(path, { kind: "link", target });
  }

  remove(path: string): void {
    for (const key of this.#entries.keys()) {
      if (key === path || key.startsWith(`${path}/`)) this.#entries.delete(key);
    }
  }

  #fail(code: string, syscall: string, path: string): never {
    throw new KernelError(errnoNumber(code), syscall, path);
  }

  /** The path with its links followed, but for the last part's own. */
  #walk(path: string, syscall: string): string {
    const parts = path.split("/").slice(1);
    let at = "/";
    for (const [i, part] of parts.entries()) {
      at = posix.join(at, part);
      const entry = this.#entries.get(at);
      if (i < parts.length - 1 && entry?.kind === "link") {
        const target = posix.resolve(posix.dirname(at), entry.target);
        return this.#walk(
          posix.join(target, ...parts.slice(i + 1)),
          syscall,
        );
      }
      if (entry === undefined) this.#fail("ENOENT", syscall, path);
      if (i < parts.length - 1 && entry.kind === "file") {
        this.#fail("ENOTDIR", syscall, path);
      }
    }
    return at;
  }

  #entry(path: string, syscall: string): Exclude<Entry, { kind: "link" }> {
    const at = this.#walk(path, syscall);
    const entry = this.#entries.get(at)!;
    if (entry.kind !== "link") return entry;
    return this.#entry(posix.resolve(posix.dirname(at), entry.target), syscall);
  }

  readlink(path: string): string {
    const entry = this.#entries.get(this.#walk(path, "readlink"))!;
    if (entry.kind !== "link") this.#fail("EINVAL", "readlink", path);
    return entry.target;
  }

  readdir(path: string): string[] {
    if (this.#entry(path, "open").kind !== "directory") {
      this.#fail("ENOTDIR", "open", path);
    }
    const at = this.#walk(`${path}/.`, "open").replace(/\/\.$/, "");
    return [...this.#entries.keys()]
      .filter((key) => key !== at && posix.dirname(key) === at)
      .map((key) => posix.basename(key))
      .sort();
  }

  stat(path: string): FileStatus {
    this.#entry(path, "statx");
    return { mode: 0, uid: 0, gid: 0, device: "0:0" };
  }

  readFile(path: string): string {
    const entry = this.#entry(path, "open");
    if (entry.kind !== "file") this.#fail("EISDIR", "read", path);
    return entry.read();
  }

  writeFile(path: string, text: string): void {
    const entry = this.#entry(path, "open");
    if (entry.kind !== "file") this.#fail("EISDIR", "open", path);
    this.writes.push(`${path}: ${text.trimEnd()}`);
    const instead = this.onWrite.get(path);
    if (instead !== undefined) return instead();
    const answer = this.answers.get(path)?.shift() ?? "";
    if (answer !== "") this.#fail(answer, "write", path);
    entry.write(text);
  }

  async writeFileAsync(path: string, text: string): Promise<void> {
    await this.hangs.get(path);
    this.writeFile(path, text);
  }

  open = unused;
  close = unused;
  closeAsync = unused;
  ioctl = unused;
  ioctlAsync = unused;
  mmap = unused as () => Mapping;
  munmap = unused;
  addressOf = unused;
  read = unused;
  write = unused;
  pread = unused;
  pwrite = unused;
  eventfd = unused;
  pollAsync = unused;
}

/** What a fake function is. */
export interface FakeFunction {
  vendor?: number;
  device?: number;
  class?: number;
  group?: number | undefined;
  driver?: string;
  override?: string;
  power?: string;
  /** The function that it is a virtual function of. */
  physfn?: string;
}

/** A fake host: PCI functions and drivers that can be bound. */
export class FakeHost {
  readonly kernel = new FakeKernel();
  /** Functions by driver: those it takes without an override. */
  readonly #matches = new Map<string, Set<string>>();
  #vfioDevices = 0;

  constructor() {
    this.kernel.link("/proc/self", "100");
    this.process(100, "deno", []);
  }

  /** A process that has these files open. */
  process(pid: number, name: string, files: readonly string[]): void {
    this.kernel.file(`/proc/${pid}/comm`, name);
    this.kernel.directory(`/proc/${pid}/fd`);
    for (const [fd, path] of files.entries()) {
      this.kernel.link(`/proc/${pid}/fd/${fd}`, path);
    }
  }

  /** A driver that is loaded, and takes these functions by themselves. */
  driver(name: string, ...addresses: string[]): void {
    const base = `/sys/bus/pci/drivers/${name}`;
    this.#matches.set(name, new Set(addresses));
    this.kernel.file(`${base}/bind`, "", (address) => {
      this.#bind(name, address.trim());
    });
    this.kernel.file(`${base}/unbind`, "", (address) => {
      this.unbind(name, address.trim());
    });
  }

  /** A function, in `/sys/devices/pci0000:00`. */
  function(address: string, what: FakeFunction = {}): void {
    const { kernel } = this;
    const path = `/sys/devices/pci0000:00/${address}`;
    const hex = (value: number, digits: number) =>
      `0x${value.toString(16).padStart(digits, "0")}`;
    kernel.link(`/sys/bus/pci/devices/${address}`, `../../../..${path}`);
    kernel.link(`${path}/subsystem`, "../../../bus/pci");
    kernel.directory("/sys/bus/pci");
    kernel.file(`${path}/vendor`, hex(what.vendor ?? 0x8086, 4));
    kernel.file(`${path}/device`, hex(what.device ?? 0x10d3, 4));
    kernel.file(`${path}/class`, hex(what.class ?? 0x020000, 6));
    let override = what.override;
    kernel.file(
      `${path}/driver_override`,
      () => `${override ?? "(null)"}\n`,
      (text) => {
        // Nothing written is no call of the kernel.
        if (text !== "") override = text.trim() === "" ? undefined : text;
      },
    );
    let power = what.power ?? "on";
    const write = (text: string) => power = text;
    kernel.file(`${path}/power/control`, () => `${power}\n`, write);
    if (what.group !== undefined) {
      const group = `/sys/kernel/iommu_groups/${what.group}`;
      kernel.link(
        `${path}/iommu_group`,
        `../../../kernel/iommu_groups/${what.group}`,
      );
      kernel.link(
        `${group}/devices/${address}`,
        `../../../../devices/pci0000:00/${address}`,
      );
      kernel.file(`${group}/type`, "DMA");
    }
    if (what.physfn !== undefined) {
      const parent = `/sys/devices/pci0000:00/${what.physfn}`;
      const count = kernel.readdir(parent)
        .filter((name) => name.startsWith("virtfn")).length;
      kernel.link(`${path}/physfn`, `../${what.physfn}`);
      kernel.link(`${parent}/virtfn${count}`, `../${address}`);
    }
    if (what.driver !== undefined) this.#attach(what.driver, address);
  }

  /** What a snapshot of `ls -l` and `cat` would tell of a function. */
  state(address: string): Record<string, string | undefined> {
    const path = `/sys/devices/pci0000:00/${address}`;
    const entries = this.kernel.readdir(path);
    return {
      entries: entries.join(" "),
      driver: entries.includes("driver")
        ? this.kernel.readlink(`${path}/driver`)
        : undefined,
      override: this.kernel.readFile(`${path}/driver_override`),
      power: this.kernel.readFile(`${path}/power/control`),
    };
  }

  unbind(driver: string, address: string): void {
    const path = `/sys/devices/pci0000:00/${address}`;
    if (this.#driverOf(address) !== driver) {
      throw new KernelError(errnoNumber("ENODEV"), "write", "unbind");
    }
    this.kernel.remove(`${path}/driver`);
    if (!driver.startsWith("vfio")) return;
    this.kernel.writeFile(`${path}/power/control`, "on");
    const [name] = this.kernel.readdir(`${path}/vfio-dev`);
    this.kernel.remove(`${path}/vfio-dev`);
    this.kernel.remove(`/dev/vfio/devices/${name}`);
  }

  /** A driver takes a function, without being asked whether it may. */
  #attach(driver: string, address: string): void {
    const path = `/sys/devices/pci0000:00/${address}`;
    this.kernel.link(`${path}/driver`, `../../../bus/pci/drivers/${driver}`);
    if (!driver.startsWith("vfio")) return;
    this.kernel.writeFile(`${path}/power/control`, "auto");
    const name = `vfio${this.#vfioDevices++}`;
    this.kernel.file(`${path}/vfio-dev/${name}/dev`, "510:0");
    this.kernel.file(`/dev/vfio/devices/${name}`, "");
    const group = posix.basename(this.kernel.readlink(`${path}/iommu_group`));
    this.kernel.directory(`/sys/class/vfio/${group}`);
    this.kernel.file(`/dev/vfio/${group}`, "");
  }

  #bind(driver: string, address: string): void {
    const fail = (code: string) => {
      throw new KernelError(errnoNumber(code), "write", "bind");
    };
    const path = `/sys/devices/pci0000:00/${address}`;
    const override = this.kernel.readFile(`${path}/driver_override`).trim();
    const matches = override === "(null)"
      ? this.#matches.get(driver)!.has(address)
      : override === driver;
    if (!matches) fail("ENODEV");
    if (this.#driverOf(address) !== undefined) fail("EBUSY");
    this.#attach(driver, address);
  }

  #driverOf(address: string): string | undefined {
    const path = `/sys/devices/pci0000:00/${address}`;
    if (!this.kernel.readdir(path).includes("driver")) return undefined;
    return posix.basename(this.kernel.readlink(`${path}/driver`));
  }
}
