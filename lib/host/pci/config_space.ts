/**
 * A function's config space, as far as this user may read it.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { O_RDONLY } from "../../uapi/linux/fcntl.ts";
import {
  PCI_EXT_CAP_ID,
  PCI_EXT_CAP_NEXT,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_LIST_NEXT,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
} from "../../uapi/pci/regs.ts";

/** How many capabilities have room. The limit also ends a circular chain. */
const MAX_CAPABILITIES = (PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4;
const MAX_EXTENDED = (4096 - PCI_CFG_SPACE_SIZE) / 8;

/**
 * Where a capability is.
 *
 * `"unreadable"` where only root could tell: everybody else sees the header,
 * the first 64 bytes (`pci_read_config()` in `drivers/pci/pci-sysfs.c`).
 */
export type Capability = number | "none" | "unreadable";

/**
 * Config space, read through sysfs register by register. Reading wakes a
 * function that sleeps.
 */
export class ConfigSpace implements Disposable {
  readonly #kernel: Kernel;
  readonly #fd: number;
  readonly #word = new DataView(new ArrayBuffer(4));

  /**
   * Opens it.
   *
   * @param kernel The system.
   * @param path The function's directory in sysfs.
   * @throws {KernelError} When it cannot be opened.
   */
  constructor(kernel: Kernel, path: string) {
    this.#kernel = kernel;
    this.#fd = kernel.open(`${path}/config`, O_RDONLY);
  }

  /**
   * Reads 32 bits.
   *
   * @param offset In bytes, a multiple of 4.
   * @returns The value, or `undefined` beyond what can be read.
   */
  read32(offset: number): number | undefined {
    const bytes = new Uint8Array(this.#word.buffer);
    const length = this.#kernel.pread(this.#fd, bytes, BigInt(offset));
    return length === 4 ? this.#word.getUint32(0, true) : undefined;
  }

  /**
   * Reads 16 bits.
   *
   * @param offset In bytes, even.
   * @returns The value, or `undefined` beyond what can be read.
   */
  read16(offset: number): number | undefined {
    const word = this.read32(offset & ~3);
    return word === undefined ? undefined : word >>> 8 * (offset & 2) & 0xffff;
  }

  /**
   * Reads 8 bits.
   *
   * @param offset In bytes.
   * @returns The value, or `undefined` beyond what can be read.
   */
  read8(offset: number): number | undefined {
    const word = this.read32(offset & ~3);
    return word === undefined ? undefined : word >>> 8 * (offset & 3) & 0xff;
  }

  /** Finds a capability by its PCI_CAP_ID_*. */
  capability(id: number): Capability {
    const status = this.read16(PCI_STATUS) ?? 0;
    if ((status & PCI_STATUS_CAP_LIST) === 0) return "none";
    let at = (this.read8(PCI_CAPABILITY_LIST) ?? 0) & ~3;
    for (let room = MAX_CAPABILITIES; at !== 0 && room > 0; room--) {
      const found = this.read8(at);
      if (found === undefined) return "unreadable";
      if (found === id) return at;
      at = (this.read8(at + PCI_CAP_LIST_NEXT) ?? 0) & ~3;
    }
    return "none";
  }

  /**
   * Finds an extended capability by its PCI_EXT_CAP_ID_*. A kernel that cannot
   * reach beyond byte 256 finds none either.
   */
  extended(id: number): Capability {
    if (this.read32(PCI_STD_HEADER_SIZEOF) === undefined) return "unreadable";
    let at = PCI_CFG_SPACE_SIZE;
    for (let room = MAX_EXTENDED; at !== 0 && room > 0; room--) {
      const head = this.read32(at);
      // Where there are none, the first word reads as 0 or as all ones.
      if (head === undefined || head === 0 || head === 0xffff_ffff) break;
      if (PCI_EXT_CAP_ID(head) === id) return at;
      at = PCI_EXT_CAP_NEXT(head);
    }
    return "none";
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#kernel.close(this.#fd);
  }
}
