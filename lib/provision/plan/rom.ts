/**
 * Plans copies of ROMs.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasRom } from "../../host/pci/rom.ts";
import { holdsRom } from "../steps/rom_file.ts";
import type { RomStep } from "../steps/step.ts";
import type { Entry } from "./target.ts";

/**
 * Plans the copies of ROMs that are missing. They are made before drivers
 * change: a function without a driver may sleep, and its ROM cannot be read
 * then.
 *
 * @param entries The functions.
 * @throws {TypeError} When two entries name the same file.
 * @throws {VfioError} `NOT_SUPPORTED` when a function has no ROM, or something
 * else is at the path; `IDENTITY_CHANGED` when that is another function's ROM.
 */
export function romSteps(entries: readonly Entry[]): RomStep[] {
  const entriesByPath = new Map<string, string>();
  return entries.flatMap(({ at, fn, state: { rom: path } }) => {
    if (path === undefined) return [];
    const other = entriesByPath.get(path);
    if (other !== undefined) {
      throw new TypeError(`${other} and ${at} have their ROMs in ${path}`);
    }
    entriesByPath.set(path, at);
    if (holdsRom(fn, path)) return [];
    if (!hasRom(fn)) {
      throw new VfioError("NOT_SUPPORTED", {
        device: fn.address,
        problem: `it has no ROM that could be copied (${at}.rom): no BAR ` +
          "for one, or the firmware gave it no room",
        hint: `leave rom out, or put a file of the vendor's at ${path}`,
      });
    }
    return [{
      kind: "rom",
      device: fn.address,
      path,
      why: "there is no such file",
    }];
  });
}
