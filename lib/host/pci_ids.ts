/**
 * Names of vendors, devices and classes, from the database that `lspci` uses.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import { ifPresent } from "./sysfs.ts";

/** Where distributions install it: Debian, then Fedora and Arch. */
const PATHS = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

const databases = new WeakMap<Kernel, PciIds>();

/**
 * The database of the system behind `kernel`, read at the first call; an empty
 * one where none is installed.
 */
export function pciIds(kernel: Kernel): PciIds {
  let database = databases.get(kernel);
  if (database === undefined) {
    let text: string | undefined;
    for (const path of PATHS) {
      text ??= ifPresent(() => kernel.readFile(path));
    }
    database = new PciIds(text ?? "");
    databases.set(kernel, database);
  }
  return database;
}

/**
 * The text of a `pci.ids`. It is searched and never parsed: a search of its
 * 1.4 MB costs less than a millisecond, and people ask for a handful of names.
 */
export class PciIds {
  readonly #text: string;

  /**
   * Searches a text.
   *
   * @param text The text of a `pci.ids`.
   */
  constructor(text: string) {
    this.#text = `\n${text}`;
  }

  /** The name of a vendor, where it has one. */
  vendor(vendor: number): string | undefined {
    return this.#name(`\n${hex(vendor, 4)}  `);
  }

  /** The name of a device, where it has one. */
  device(vendor: number, device: number): string | undefined {
    return this.#name(`\n${hex(vendor, 4)}  `, `\n\t${hex(device, 4)}  `);
  }

  /**
   * The name of a class: `"Non-Volatile memory controller (NVM Express)"`, or
   * as much of it as is listed.
   *
   * @param code The 24 bits of the class register.
   */
  class(code: number): string | undefined {
    const base = `\nC ${hex(code >> 16, 2)}  `;
    const sub = `\n\t${hex(code >> 8 & 0xff, 2)}  `;
    const programming = `\n\t\t${hex(code & 0xff, 2)}  `;
    const name = this.#name(base, sub) ?? this.#name(base);
    const detail = this.#name(base, sub, programming);
    return detail === undefined ? name : `${name} (${detail})`;
  }

  /** The name after the last key; each key lies in the block of the former. */
  #name(...keys: readonly string[]): string | undefined {
    let start = 0;
    let end = this.#text.length;
    for (const [depth, key] of keys.entries()) {
      const at = this.#text.indexOf(key, start);
      if (at < 0 || at >= end) return undefined;
      start = at + key.length;
      end = this.#blockEnd(start, depth, end);
    }
    const lineEnd = this.#text.indexOf("\n", start);
    return this.#text.slice(start, lineEnd < 0 ? undefined : lineEnd).trim();
  }

  /** Where the first line begins that is indented by `depth` tabs or fewer. */
  #blockEnd(start: number, depth: number, limit: number): number {
    const outer = new RegExp(`\n\t{0,${depth}}[^\t#\n]`, "g");
    outer.lastIndex = start;
    const match = outer.exec(this.#text);
    return match === null ? limit : Math.min(match.index, limit);
  }
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
