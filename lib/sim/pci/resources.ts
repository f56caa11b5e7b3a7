/**
 * Allocates the addresses of BARs and ROMs, and writes them as `resource`.
 *
 * @module
 */

import { hex } from "../../hex.ts";
import type { BarSpec } from "../../host/snapshot/bar_text.ts";

/** A line of `resource`. */
export interface Resource {
  /** The first address. */
  readonly start: bigint;
  /** The size in bytes. */
  readonly size: number;
  /** `IORESOURCE_*` bits. */
  readonly flags: number;
}

// include/linux/ioport.h
const IORESOURCE_IO = 0x100;
const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_READONLY = 0x4000;
const IORESOURCE_SIZEALIGN = 0x40000;
const IORESOURCE_MEM_64 = 0x100000;
/** The low bits of a BAR, which the kernel keeps in the flags. */
const BAR_IO = 0x1;
const BAR_64 = 0x4;
const BAR_PREFETCH = 0x8;

/** Allocates addresses, as the firmware does. */
export class AddressSpaces {
  #memory = 0x8000_0000n;
  #above4G = 0x40_0000_0000n;
  #ports = 0x1000n;

  /**
   * Places a BAR, or several of the same size one after the other.
   *
   * @param bar The BAR.
   * @param count How many there are.
   */
  place(bar: BarSpec, count = 1): Resource {
    return {
      start: bar.start ?? this.#find(bar, BigInt(bar.size * count)),
      size: bar.size * count,
      flags: flagsOf(bar),
    };
  }

  #find({ size, io, wide, prefetchable }: BarSpec, length: bigint): bigint {
    const aligned = (from: bigint) =>
      (from + BigInt(size) - 1n) & -BigInt(size);
    if (io) {
      const start = aligned(this.#ports);
      this.#ports = start + length;
      return start;
    }
    if (wide && prefetchable) {
      const start = aligned(this.#above4G);
      this.#above4G = start + length;
      return start;
    }
    const start = aligned(this.#memory);
    this.#memory = start + length;
    return start;
  }
}

/** The first line of `resource` that is a BAR of virtual functions. */
export const FIRST_VF_BAR = 7;
const VF_BARS = 6;

/** The lines of `resource` that are BARs of virtual functions. */
export function virtualBars<Line>(lines: readonly Line[]): readonly Line[] {
  return lines.slice(FIRST_VF_BAR, FIRST_VF_BAR + VF_BARS);
}

/** Places a ROM, which is memory that cannot be written. */
export function romResource(spaces: AddressSpaces, rom: BarSpec): Resource {
  const { start, size, flags } = spaces.place(rom);
  return {
    start,
    size,
    flags: flags | IORESOURCE_PREFETCH | IORESOURCE_READONLY,
  };
}

const NO_RESOURCE = `${Array(3).fill(`0x${"0".repeat(16)}`).join(" ")}\n`;

/** Writes the lines of `resource`, with zeros for missing BARs. */
export function resourceLines(
  resources: readonly (Resource | undefined)[],
): string {
  return resources.map((resource) => {
    if (resource === undefined) return NO_RESOURCE;
    const { start, size, flags } = resource;
    return [start, start + BigInt(size) - 1n, flags]
      .map((value) => hex(value, 16)).join(" ") + "\n";
  }).join("");
}

function flagsOf({ io, wide, prefetchable }: BarSpec): number {
  if (io) return IORESOURCE_SIZEALIGN | IORESOURCE_IO | BAR_IO;
  return IORESOURCE_SIZEALIGN | IORESOURCE_MEM |
    (wide ? IORESOURCE_MEM_64 | BAR_64 : 0) |
    (prefetchable ? IORESOURCE_PREFETCH | BAR_PREFETCH : 0);
}
