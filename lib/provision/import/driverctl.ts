/**
 * Imports what driverctl binds at boot: a file for each device, which names its
 * driver.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import type { Host } from "../../host/host.ts";
import { basename } from "../../host/path.ts";
import { filesIn, Found, type Imported, nothingThere } from "./found.ts";

const DIRECTORY = "/etc/driverctl.d";

/** Imports driverctl's overrides. */
export function importDriverctl(host: Host): Imported {
  const files = filesIn(host, DIRECTORY, () => true);
  if (files.length === 0) {
    throw nothingThere("driverctl", `file in ${DIRECTORY}`);
  }
  const found = new Found(host);
  for (const { path, text } of files) {
    const [, bus, device = ""] = /^(\w+)-(.+)$/.exec(basename(path)) ?? [];
    const driver = text.trim();
    if (bus !== "pci" || !ADDRESS.test(device)) {
      found.note(`${path}: it is about no PCI function`);
    } else if (driver === "none") found.function(device, null, path);
    else if (!/^[\w+-][\w.+-]*$/.test(driver)) {
      found.note(`${path}: ${shortJson(driver)} is no driver's name`);
    } else found.function(device, driver, path);
  }
  found.note(
    "driverctl binds them at every boot too: run driverctl unset-override " +
      "for each, then passthru apply STATE --at-boot NAME",
  );
  return found.result();
}

const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;
