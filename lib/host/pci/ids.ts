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
