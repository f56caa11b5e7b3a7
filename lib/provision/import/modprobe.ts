/**
 * Imports what vfio-pci and pci-stub take by ids, from modprobe's files and the
 * kernel's command line.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import type { Host } from "../../host/host.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { Found, type Imported, nothingThere } from "./found.ts";
import { moduleSettings, type Setting } from "./modprobe_files.ts";

/** The drivers that take functions by ids, by their modules. */
const DRIVERS: Readonly<Record<string, string>> = {
  pci_stub: "pci-stub",
  vfio_pci: "vfio-pci",
};

/** Imports the ids of vfio-pci and pci-stub. */
export function importModprobe(host: Host): Imported {
  const settings = moduleSettings(host);
  const found = new Found(host);
  const idle = settings.some(isIdleOff) ? { idleD3: false } as const : {};
  let hasIds = false;
  for (const setting of settings) {
    const { command, module, where, words } = setting;
    const driver = DRIVERS[module];
    if (command === "options" && driver !== undefined) {
      for (const word of words) {
        const ids = /^ids=(.*)$/.exec(word)?.[1];
        hasIds ||= ids !== undefined;
        if (ids === undefined) noteOption(found, setting, word);
        else takeIds(found, ids.replaceAll('"', ""), driver, where, idle);
      }
    } else noteOther(found, setting);
  }
  if (!hasIds) {
    throw nothingThere(
      "modprobe",
      "option ids= of vfio-pci or pci-stub in /etc/modprobe.d or the " +
        "kernel's command line",
    );
  }
  found.note(
    "ids take every equal card, also one that is added; this state takes the " +
      "functions that are here now",
  );
  found.note(
    "remove these settings, rebuild the initramfs, then run passthru apply " +
      "STATE --at-boot NAME, which also loads vfio-pci and keeps a display's " +
      "driver from binding first",
  );
  return found.result();
}

function isIdleOff({ command, module, words }: Setting): boolean {
  return command === "options" && module === "vfio_pci" &&
    words.some((word) => /^disable_idle_d3(=[1yY]|$)/.test(word));
}

function noteOption(found: Found, setting: Setting, word: string): void {
  const { module, where } = setting;
  if (module === "vfio_pci" && word.startsWith("disable_idle_d3")) return;
  found.note(`${where}: the option ${shortJson(word)} of ${module} has no key`);
}

/** Notes what else is said so that vfio-pci is first. */
function noteOther(found: Found, setting: Setting): void {
  const { command, module, where, words } = setting;
  const isAbout = DRIVERS[module] !== undefined ||
    words.some((word) => /^(vfio[-_]pci|pci[-_]stub)$/.test(word));
  switch (command) {
    case "blacklist":
      found.note(
        `${where}: ${module} is not loaded for any device; the state takes ` +
          "single functions from it, so this can go",
      );
      break;
    case "install":
      if (isAbout) {
        found.note(
          `${where}: a command is run in place of loading ${module}, which ` +
            `is not read: ${shortJson(words.join(" "))}`,
        );
      }
      break;
    case "softdep":
      if (isAbout) {
        found.note(`${where}: ${module} waits for a VFIO driver: this can go`);
      }
  }
}

/**
 * Takes the functions that match ids: `VENDOR:DEVICE[:SUBVENDOR:SUBDEVICE[:CLASS
 * [:MASK]]]` (`drivers/vfio/pci/vfio_pci.c`, `vfio_pci_fill_ids()`).
 */
function takeIds(
  found: Found,
  ids: string,
  driver: string,
  where: string,
  more: { readonly idleD3?: false },
): void {
  for (const id of ids.split(",").filter((id) => id !== "")) {
    const fields = id.split(":");
    if (
      fields.length < 2 || !fields.every((each) => /^[\da-f]{1,8}$/i.test(each))
    ) {
      found.note(`${where}: ${shortJson(id)} is no id of a function`);
      continue;
    }
    const matching = found.host.functions().filter((fn) => matches(fn, fields));
    if (matching.length === 0) {
      found.note(`${where}: this host has no function with id ${id}`);
    }
    for (const fn of matching) found.take(fn, driver, where, more);
  }
}

/** `PCI_ANY_ID`. */
const ANY = 0xffffffff;

function matches(fn: PciFunction, fields: readonly string[]): boolean {
  const field = (i: number) =>
    fields[i] === undefined ? ANY : parseInt(fields[i], 16);
  const is = (wanted: number, value: number) =>
    wanted === ANY || wanted === value;
  const classCode = fields[4] === undefined ? 0 : field(4);
  const mask = fields[5] === undefined ? 0 : field(5);
  return is(field(0), fn.vendor) && is(field(1), fn.device) &&
    is(field(2), fn.subsystemVendor) && is(field(3), fn.subsystemDevice) &&
    ((classCode ^ fn.class) & mask) === 0;
}
