/**
 * Places the BARs of functions.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import type { PciFunction } from "../pci/function.ts";
import {
  type AddressSpaces,
  FIRST_VF_BAR,
  type Resource,
  romResource,
} from "../pci/resources.ts";
import { type BarSpec, parseBar } from "../../host/snapshot/bar_text.ts";
import type { FunctionTopology } from "./topology.ts";

// Lines of `resource`: BARs, the ROM, the BARs of virtual functions.
const BARS = 6;
/** The line of the ROM. */
export const ROM = 6;
const LINES = 13;
/** A bridge has further lines for its windows. */
const BRIDGE_LINES = 17;

/** The lines of a function's `resource`. */
export type Lines = readonly (Resource | undefined)[];

/**
 * Parses descriptions of BARs.
 *
 * @param bars The descriptions, by number.
 * @throws {TypeError} When there are too many, or the second half of a 64-bit
 * one is not free.
 */
export function parseBars(
  bars: readonly (string | null)[] = [],
): (BarSpec | undefined)[] {
  const parsed = bars.map((bar) => bar === null ? undefined : parseBar(bar));
  for (const [i, bar] of parsed.entries()) {
    if (i >= BARS || bar?.wide && (i + 1 === BARS || parsed[i + 1])) {
      throw new TypeError(
        `Cannot have BARs ${shortJson(bars)}: expected ${BARS} at most, ` +
          "and null after one of 64 bits",
      );
    }
  }
  return parsed;
}

/**
 * Prepares to place a function's BARs. They are placed at the first access.
 *
 * @param spaces The address spaces that they are allocated in.
 * @param topology The function in the topology.
 * @param isBridge Whether it has windows.
 * @returns A function that places them.
 */
export function placement(
  spaces: AddressSpaces,
  { bars, rom, sriov }: FunctionTopology,
  isBridge: boolean,
): (fn: PciFunction) => Lines {
  const topologyBars = bars && parseBars(bars);
  const romBar = rom === undefined ? undefined : parseBar(rom);
  const virtual = parseBars(sriov?.bars);
  return (fn) => {
    const lines: (Resource | undefined)[] = Array(
      isBridge ? BRIDGE_LINES : LINES,
    ).fill(undefined);
    for (const [i, bar] of (topologyBars ?? modelBars(fn)).entries()) {
      lines[i] = bar && spaces.place(bar);
    }
    lines[ROM] = romBar && romResource(spaces, romBar);
    for (const [i, bar] of virtual.entries()) {
      lines[FIRST_VF_BAR + i] = bar && spaces.place(bar, sriov!.total);
    }
    return lines;
  };
}

/**
 * Places the BARs of a virtual function, each in its part of the physical
 * function's BAR for all of them.
 *
 * @param physical The lines of the physical function.
 * @param bars The BARs that each virtual function has.
 * @param number The number of the virtual function.
 */
export function virtualPlacement(
  physical: Lines,
  bars: readonly (BarSpec | undefined)[],
  number: number,
): Lines {
  const lines: (Resource | undefined)[] = Array(LINES).fill(undefined);
  for (const [i, bar] of bars.entries()) {
    const shared = physical[FIRST_VF_BAR + i];
    if (bar === undefined || shared === undefined) continue;
    const { size } = bar;
    lines[i] = { ...shared, size, start: shared.start + BigInt(size * number) };
  }
  return lines;
}

function modelBars(fn: PciFunction): (BarSpec | undefined)[] {
  return fn.core.model.bars.map((bar) => {
    if (bar === undefined) return undefined;
    const { size, io = false, wide = false, prefetchable = false } = bar;
    return { size, io, wide, prefetchable, start: undefined };
  });
}
