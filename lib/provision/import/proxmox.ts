/**
 * Imports the PCI devices of Proxmox's machines (`qm.conf`, `hostpci`, and the
 * mappings of resources).
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import type { Host } from "../../host/host.ts";
import { basename } from "../../host/path.ts";
import { ifPresent } from "../../host/sysfs.ts";
import { filesIn, Found, type Imported, nothingThere } from "./found.ts";

const MACHINES = "/etc/pve/qemu-server";
const MAPPINGS = "/etc/pve/mapping";

/** Options of `hostpci` that are about the device in the machine. */
const OF_MACHINE: readonly string[] = [
  ...["pcie", "rombar", "romfile", "x-vga", "legacy-igd", "vendor-id"],
  ...["device-id", "sub-vendor-id", "sub-device-id"],
];

/** Imports the PCI devices of Proxmox's machines. */
export function importProxmox(host: Host): Imported {
  const files = filesIn(host, MACHINES, (name) => /^\d+\.conf$/.test(name));
  if (files.length === 0) {
    throw nothingThere("Proxmox", `machine in ${MACHINES}`);
  }
  const found = new Found(host);
  const mappings = mappingsOf(host);
  for (const { path, text } of files) {
    // Sections are snapshots of the machine.
    const [current = ""] = text.split(/^\[/m);
    for (const [, key, value] of current.matchAll(/^(hostpci\d+):\s*(.*)$/gm)) {
      take(found, `${basename(path)}, ${key}`, value!.trim(), mappings);
    }
  }
  return found.result();
}

/** The paths of a mapping on this node, each with all its alternatives. */
type Mappings = ReadonlyMap<string, readonly string[]>;

function take(
  found: Found,
  where: string,
  value: string,
  mappings: Mappings,
): void {
  const words = value.split(",").filter((word) => word !== "");
  const options = new Map(words.map((word) => {
    const [, key = "host", text] = /^(?:([\w-]+)=)?(.*)$/.exec(word)!;
    return [key, text!];
  }));
  if (options.has("mdev")) {
    found.note(
      `${where}: Proxmox makes the mediated device itself, of type ` +
        shortJson(options.get("mdev")!),
    );
    return;
  }
  const mapping = options.get("mapping");
  const paths = mapping === undefined
    ? [options.get("host") ?? ""]
    : mappings.get(mapping) ?? [];
  if (mapping !== undefined && paths.length === 0) {
    found.note(`${where}: ${shortJson(mapping)} has no device on this node`);
  }
  if (paths.length > 1) {
    found.note(
      `${where}: Proxmox chooses one of the ${paths.length} devices of ` +
        `${shortJson(mapping!)}; the state takes all of them`,
    );
  }
  const names = paths.flatMap((path) => path.split(";"));
  const addresses = names.flatMap((name) => addressesOf(found, name, where));
  for (const address of addresses) found.function(address, "vfio-pci", where);
  if (addresses.length > 0 && options.get("driver") !== "keep") {
    found.note(
      `${where}: Proxmox binds it as the machine starts: add driver=keep, so ` +
        "that only one of the two does",
    );
  }
  const kept = [...options.keys()].filter((key) => OF_MACHINE.includes(key));
  if (kept.length > 0) {
    found.note(`${where}: ${kept.join(", ")} stay with the machine`);
  }
}

/** The functions that an address names; without a function, all of a slot. */
function addressesOf(found: Found, name: string, where: string): string[] {
  const [, domain = "0000", slot, fn] =
    /^(?:([\da-f]{4,8}):)?([\da-f]{2}:[01][\da-f])(?:\.([0-7]))?$/i
      .exec(name.trim()) ?? [];
  if (slot === undefined) {
    found.note(`${where}: ${shortJson(name)} is no PCI address`);
    return [];
  }
  const start = `${domain}:${slot}.`.toLowerCase();
  if (fn !== undefined) return [start + fn];
  const all = found.host.functions().map(({ address }) => address)
    .filter((address) => address.startsWith(start));
  if (all.length === 0) {
    found.note(`${where}: this host has no ${start.slice(0, -1)}`);
  }
  return all;
}

/** `NAME`, then a line for each device: `map node=…,path=…,id=…`. */
function mappingsOf(host: Host): Mappings {
  const [file] = filesIn(host, MAPPINGS, (name) => name === "pci.cfg");
  const node = ifPresent(() =>
    host.kernel.readFile("/proc/sys/kernel/hostname")
  )?.trim().split(".")[0];
  const found = new Map<string, string[]>();
  let name = "";
  for (const line of (file?.text ?? "").split("\n")) {
    const [, title] = /^(\S+)\s*$/.exec(line) ?? [];
    if (title !== undefined) name = title;
    const [, map] = /^\s+map\s+(.*)$/.exec(line) ?? [];
    if (map === undefined) continue;
    const values = new Map(
      map.split(",").map((word) => {
        const at = word.indexOf("=");
        return [word.slice(0, at).trim(), word.slice(at + 1).trim()] as const;
      }),
    );
    const path = values.get("path");
    if (path === undefined || values.get("node") !== node) continue;
    found.set(name, [...found.get(name) ?? [], path]);
  }
  return found;
}
