import type { FileNode, OpenFile } from "../fs/file.ts";
import { boolean } from "./input.ts";
import { changeStatus, statusOf } from "../fs/ownership.ts";
import type { PciFunction } from "../pci/function.ts";
import { romWindow } from "../pci/rom_window.ts";
import { refuse } from "../process/refusal.ts";

const STATUS = { mode: 0o100600, uid: 0, gid: 0, device: "0:0" };

const DECODER = new TextDecoder();

/** The most bytes in one read or write (`fs/kernfs/file.c`). */
const PAGE = 4096;

/**
 * Makes the attribute `rom`, for a function with a ROM (`pci_read_rom()` and
 * `pci_write_rom()` in `drivers/pci/pci-sysfs.c`).
 *
 * @param fn The function.
 * @param path The path of the attribute.
 */
export function romAttribute(
  fn: PciFunction,
  path: string,
): FileNode | undefined {
  const window = romWindow(fn)?.size;
  if (window === undefined) return undefined;
  return {
    kind: "file",
    get status() {
      return statusOf(fn, path, STATUS);
    },
    change: (to) => changeStatus(fn, path, to),
    open: () => new RomFile(fn, path, window),
  };
}

class RomFile implements OpenFile {
  readonly linkText: string;
  readonly #fn: PciFunction;
  readonly #window: number;
  #position = 0;

  constructor(fn: PciFunction, path: string, window: number) {
    this.linkText = path;
    this.#fn = fn;
    this.#window = window;
  }

  read(into: Uint8Array): number {
    const length = this.pread(into, BigInt(this.#position));
    this.#position += length;
    return length;
  }

  write(from: Uint8Array): number {
    const length = this.pwrite(from, BigInt(this.#position));
    this.#position += length;
    return length;
  }

  pread(into: Uint8Array, offset: bigint): number {
    if (into.length === 0 || offset >= this.#window) return 0;
    if (!this.#fn.romEnabled) refuse("EINVAL");
    const rom = this.#images();
    if (rom.length === 0) refuse("EIO");
    const start = Number(offset);
    const end = Math.min(start + into.length, start + PAGE, rom.length);
    into.set(rom.subarray(start, end));
    return Math.max(0, end - start);
  }

  pwrite(from: Uint8Array, offset: bigint): number {
    if (from.length === 0) return 0;
    if (offset >= this.#window) refuse("EFBIG");
    const length = Math.min(from.length, PAGE, this.#window - Number(offset));
    this.#fn.romEnabled = boolean(DECODER.decode(from.subarray(0, length)));
    return length;
  }

  close(): void {}

  /** Returns the images that the kernel finds, if the function answers. */
  #images(): Uint8Array {
    const answers = this.#fn.core.config.memory;
    return answers ? romWindow(this.#fn)!.images : new Uint8Array();
  }
}
