/**
 * Reads functions from the table that Proxmox VE prints: `pvesh get
 * /nodes/NODE/hardware/pci`.
 *
 * @module
 */

import type { PostedFunction } from "./lspci.ts";

const COLUMN = /\s*[│|]\s*/;
const ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/i;

/**
 * Reads the functions of a table, by address. It tells neither drivers nor
 * revisions.
 *
 * @param text The text.
 */
export function parsePvesh(text: string): Map<string, PostedFunction> {
  const found = new Map<string, PostedFunction>();
  let columns: string[] | undefined;
  for (const line of text.split(/\r?\n/)) {
    const cells = line.split(COLUMN).slice(1, -1);
    if (cells.includes("id") && cells.includes("iommugroup")) columns = cells;
    if (columns === undefined) continue;
    const cell = (name: string) => cells[columns!.indexOf(name)] ?? "";
    const address = cell("id");
    if (!ADDRESS.test(address)) continue;
    const hexadecimal = (name: string) => cell(name).replace(/^0x/, "");
    const group = Number(cell("iommugroup"));
    found.set(address.toLowerCase(), {
      address: address.toLowerCase(),
      id: `${hexadecimal("vendor")}:${hexadecimal("device")}`.toLowerCase(),
      class: parseInt(hexadecimal("class"), 16),
      ...group >= 0 && { group },
      capabilities: [],
      interrupts: {},
    });
  }
  return found;
}
