/**
 * `passthru list`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { isVfioDriver } from "../../../lib/host/driver/vfio_driver.ts";
import { type Arguments, EXIT } from "../command.ts";
import {
  description,
  type FunctionJson,
  functionJson,
  Names,
} from "../output/function_json.ts";
import { type Column, writeTable } from "../output/table.ts";
import { type Style, type Terminal, writeJson } from "../terminal/terminal.ts";

/** Returns the style of a driver: green for VFIO drivers, dim for none. */
export function driverStyle(driver: string | null): Style | undefined {
  if (driver === null) return "dim";
  return isVfioDriver(driver) ? "green" : undefined;
}

const COLUMNS: readonly Column<FunctionJson>[] = [
  { title: "ADDRESS", text: ({ address }) => address },
  { title: "ID", text: ({ vendor, device }) => `${vendor}:${device}` },
  { title: "GROUP", text: ({ iommuGroup }) => String(iommuGroup ?? "-") },
  {
    title: "DRIVER",
    text: ({ driver }) => driver ?? "-",
    style: ({ driver }) => driverStyle(driver),
  },
  { title: "DEVICE", text: description, shortens: true },
];

/** Writes functions in a table. */
function writeFunctions(
  terminal: Terminal,
  functions: readonly FunctionJson[],
): void {
  writeTable(terminal, functions, COLUMNS);
}

/** Lists the PCI functions. */
export function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): number {
  const driver = args.value("driver");
  const classText = args.value("class")?.toLowerCase();
  const names = new Names();
  const all = host.functions().map((fn) => functionJson(fn, names));
  const functions = all
    .filter((fn) => driver === undefined || (fn.driver ?? "none") === driver)
    .filter((fn) =>
      classText === undefined || fn.class.startsWith(classText) ||
      fn.className?.toLowerCase().includes(classText)
    );
  if (args.has("json")) writeJson(terminal, functions);
  else if (functions.length > 0) writeFunctions(terminal, functions);
  else terminal.warn("There is no such PCI function\n");
  return EXIT.DONE;
}
