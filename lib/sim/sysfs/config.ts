import type { FileNode, OpenFile } from "../fs/file.ts";
import { changeStatus, statusOf } from "../fs/ownership.ts";
import type { PciFunction } from "../pci/function.ts";

const STATUS = { mode: 0o100644, uid: 0, gid: 0, device: "0:0" };

/** The bytes of config space that users other than root see: the header. */
const HEADER = 64;

/**
 * Makes the attribute `config` (`pci_read_config()` in
 * `drivers/pci/pci-sysfs.c`).
 *
 * @param fn The function.
 * @param path The path of the attribute.
 */
export function configAttribute(fn: PciFunction, path: string): FileNode {
  return {
    kind: "file",
    get status() {
      return statusOf(fn, path, STATUS);
    },
    change: (to) => changeStatus(fn, path, to),
    open: ({ uid }) => new ConfigFile(fn, path, uid),
  };
}

class ConfigFile implements OpenFile {
  readonly linkText: string;
  readonly #fn: PciFunction;
  readonly #length: number;

  constructor(fn: PciFunction, path: string, uid: number) {
    this.linkText = path;
    this.#fn = fn;
    const { length } = fn.shownConfig ?? { length: fn.core.config.size };
    this.#length = uid === 0 ? length : HEADER;
  }

  pread(into: Uint8Array, offset: bigint): number {
    const room = Math.max(0, this.#length - Number(offset));
    const length = Math.min(into.length, room);
    const { shownConfig } = this.#fn;
    const start = Number(offset);
    if (shownConfig !== undefined) {
      into.set(shownConfig.subarray(start, start + length));
    } else this.#fn.core.config.read(start, into.subarray(0, length));
    return length;
  }

  close(): void {}
}
