/**
 * Checks what the parts of a topology say together.
 *
 * @module
 */

import { hexDigits } from "../../hex.ts";
import { mismatch } from "../../rule.ts";
import { type BarSpec, parseBar } from "../../host/snapshot/bar_text.ts";
import { parseAddress, type RoutingId } from "../pci/address.ts";
import {
  spacingOf,
  type SriovCapability,
  virtualAddress,
} from "../pci/sriov.ts";
import type { Topology } from "./topology.ts";

/** The functions of a topology, by address. */
type Functions = NonNullable<Topology["functions"]>;

/** The last bus, slot and function of a domain. */
const LAST_ID = 0xffff;

/** What a topology says of a virtual function. The rest is its kind's. */
const OF_VIRTUAL: readonly string[] = ["driver", "group", "override", "power"];

/**
 * Checks what the parts of a topology say together, each of which is checked.
 *
 * @param topology The topology.
 * @throws {TypeError} When no machine is such. The message says where.
 */
export function assertConsistent({ functions = {} }: Topology): void {
  assertBridges(functions);
  assertVirtual(functions);
  assertNames(functions);
  assertBars(functions);
}

/** Checks that no function is behind itself. */
function assertBridges(functions: Functions): void {
  const known = new Set<string>();
  for (const start of Object.keys(functions)) {
    const way = new Set<string>();
    let each: string | undefined = start;
    while (each !== undefined && !known.has(each)) {
      if (way.has(each)) {
        const at = place(start, "behind");
        throw mismatch(at, "a bridge that is not behind it", [...way]);
      }
      way.add(each);
      each = functions[each]?.behind;
    }
    for (const passed of way) known.add(passed);
  }
}

/**
 * Checks that virtual functions are where no other function is, and that no
 * more is said of one than it has of its own.
 */
function assertVirtual(functions: Functions): void {
  const owners = new Map<string, string>();
  for (const [address, { sriov }] of Object.entries(functions)) {
    if (sriov === undefined) continue;
    const { enabled = 0, total } = sriov;
    const at = place(address, "sriov");
    if (enabled > total) {
      throw mismatch(`${at}.enabled`, `${total} at most`, enabled);
    }
    const physical = parseAddress(address);
    const spacing = spacingOf(sriov);
    const { offset, stride } = spacing;
    const last = physical.id + offset + stride * (enabled - 1);
    if (enabled > 0 && last > LAST_ID) {
      const wanted = "virtual functions on buses up to ff";
      throw mismatch(`${at}.enabled`, wanted, enabled);
    }
    for (let i = 0; i < enabled; i++) {
      claim(functions, owners, address, physical, spacing, i);
    }
  }
  for (const [address, { behind = "" }] of Object.entries(functions)) {
    if (!owners.has(behind)) continue;
    const at = place(address, "behind");
    throw mismatch(at, "a bridge, and no virtual function", behind);
  }
}

/** Claims the address of a virtual function for its physical function. */
function claim(
  functions: Functions,
  owners: Map<string, string>,
  owner: string,
  physical: RoutingId,
  spacing: Pick<SriovCapability, "offset" | "stride">,
  index: number,
): void {
  const address = virtualAddress(physical, spacing, index);
  const other = owners.get(address);
  if (other !== undefined) {
    throw new TypeError(
      `${place(owner, "sriov")}: its virtual function ${index} is at ` +
        `${address}, and so is one of ${other}`,
    );
  }
  owners.set(address, owner);
  const said = Object.entries(functions[address] ?? {})
    .find(([key, value]) => value !== undefined && !OF_VIRTUAL.includes(key));
  if (said === undefined) return;
  throw new TypeError(
    `${place(address, said[0])}: a virtual function of ${owner} is there, of ` +
      `which only ${OF_VIRTUAL.join(", ")} can be given`,
  );
}

/** Checks that no two network interfaces have one name. */
function assertNames(functions: Functions): void {
  const owners = new Map<string, string>();
  for (const [address, { network }] of Object.entries(functions)) {
    if (network === undefined) continue;
    const other = owners.get(network);
    if (other !== undefined) {
      const at = place(address, "network");
      throw mismatch(at, `another name than that of ${other}`, network);
    }
    owners.set(network, address);
  }
}

/** A BAR whose address is known. */
interface PlacedBar {
  /** Its place in the topology. */
  readonly at: string;
  /** Its text there. */
  readonly text: string;
  /** The domain, and whether it is in memory. */
  readonly space: string;
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * Checks that BARs are aligned and that none is where another is. One at 0 has
 * no address yet, and ports of old controllers can be the same.
 */
function assertBars(functions: Functions): void {
  const placed: PlacedBar[] = [];
  for (const [address, { bars = [], sriov }] of Object.entries(functions)) {
    const domain = hexDigits(parseAddress(address).domain, 4);
    const add = (text: string | null, at: string, count: number) => {
      const bar = text === null ? undefined : parseBar(text);
      if (bar === undefined || bar.io || !bar.start) return;
      assertAligned(bar, at, text!);
      const { start, size } = bar;
      const end = start + BigInt(size) * BigInt(count);
      placed.push({ at, text: text!, space: domain, start, end });
    };
    for (const [i, text] of bars.entries()) {
      add(text, `${place(address, "bars")}[${i}]`, 1);
    }
    for (const [i, text] of (sriov?.bars ?? []).entries()) {
      add(text, `${place(address, "sriov")}.bars[${i}]`, sriov!.total);
    }
  }
  placed.sort((a, b) =>
    a.space < b.space ? -1 : a.space > b.space ? 1 : a.start < b.start ? -1 : 1
  );
  for (const [i, bar] of placed.entries()) {
    const before = placed[i - 1];
    if (before?.space !== bar.space || before.end <= bar.start) continue;
    throw mismatch(bar.at, `a BAR that is not where ${before.at} is`, bar.text);
  }
}

function assertAligned({ start, size }: BarSpec, at: string, text: string) {
  const isPower = Number.isInteger(Math.log2(size));
  if (!isPower || start! % BigInt(size) === 0n) return;
  throw mismatch(at, "an address that is a multiple of the size", text);
}

/** The place of a function's key, for errors. */
function place(address: string, key: string): string {
  return `functions["${address}"].${key}`;
}
