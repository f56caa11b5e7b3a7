/**
 * The database of names that a host has installed.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { PciIds } from "../../pci/ids.ts";
import { ifPresent } from "../sysfs.ts";

/** Where distributions install it: Debian, then Fedora and Arch. */
const PATHS = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

const databases = new WeakMap<Kernel, PciIds>();
const lenders = new WeakMap<Kernel, Kernel>();

/**
 * The database of the system behind `kernel`, read at the first call; an empty
 * one where none is installed, nor lent.
 */
export function pciIds(kernel: Kernel): PciIds {
  let database = databases.get(kernel);
  if (database === undefined) {
    let text: string | undefined;
    for (const path of PATHS) {
      text ??= ifPresent(() => kernel.readFile(path));
    }
    const lender = text === undefined ? lenders.get(kernel) : undefined;
    database = lender === undefined ? new PciIds(text ?? "") : pciIds(lender);
    databases.set(kernel, database);
  }
  return database;
}

/**
 * Lends the database of one system to another, which uses it where it has none:
 * a recording has no names.
 *
 * @param lender The system that has names.
 * @param kernel The system that may have none. No name of it was asked for yet.
 */
export function lendPciIds(lender: Kernel, kernel: Kernel): void {
  lenders.set(kernel, lender);
}
