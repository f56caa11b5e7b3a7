/**
 * Unusual machines, transcribed from published listings
 * (`tests/recordings/README.md`), with queries for tests.
 */
import type { Host } from "../../mod.ts";
import { type CheckName, diagnose } from "../../lib/doctor/mod.ts";
import type { DesiredState } from "../../lib/provision/mod.ts";
import { pciTree } from "../../lib/host/mod.ts";
import type { Topology } from "../../lib/sim/mod.ts";
import amd from "../recordings/amd_b550.json" with { type: "json" };
import dell from "../recordings/dell_vmd.json" with { type: "json" };
import hp from "../recordings/hp_dl388p_gen8.json" with { type: "json" };
import supermicro from "../recordings/supermicro_x11scl.json" with {
  type: "json",
};
import thinkpad from "../recordings/thinkpad_p53.json" with { type: "json" };

/** Gigabyte's B550 Aorus Pro: its chipset has no ACS. */
export const B550 = amd as Topology;

/** A Dell with Intel's VMD: its drive is in a domain that a driver makes. */
export const DELL = dell as Topology;

/** HP's ProLiant DL388p Gen8: its firmware keeps memory mapped. */
export const DL388P = hp as Topology;

/** Supermicro's X11SCL-IF: its console is a conventional PCI device. */
export const X11SCL = supermicro as Topology;

/** Lenovo's ThinkPad P53: its card has four functions. */
export const THINKPAD = thinkpad as Topology;

/** The devices of a group. */
export function membersOf(host: Host, group: number): string[] {
  return host.group(group).devices.map(({ name }) => name);
}

/** Why the functions of a group are not isolated from each other. */
export function causesOf(host: Host, group: number): string[] {
  const shared = pciTree(host).sharedGroups
    .find((each) => each.group === String(group));
  return shared!.causes.map(({ device, reason }) => `${device} ${reason}`);
}

/** The findings of one check on a function, as "verdict text". */
export function findingTexts(
  host: Host,
  address: string,
  check: CheckName,
): string[] {
  return diagnose(host, { functions: [host.function(address)] }).findings
    .filter((finding) => finding.check === check)
    .map(({ verdict, text }) => `${verdict} ${text}`);
}

/** A state in which a function goes to user space. */
export function handOut(select: string, group?: "all endpoints"): DesiredState {
  return {
    functions: [{ select, driver: "vfio-pci", ...(group && { group }) }],
  };
}

/** The drivers of a group's functions. */
export function driversOf(host: Host, group: number): string[] {
  return host.group(group).devices.map(({ driver }) => driver ?? "none");
}
