/**
 * Where a function's BARs and its ROM lie, and how that is written.
 *
 * @module
 */

import { hex } from "./address.ts";

/** A BAR or a ROM, as a topology describes it. */
export interface BarSpec {
  /** Bytes, a power of two. */
  readonly size: number;
  /** Whether it is ports rather than memory. */
  readonly io: boolean;
  /** Whether its address has 64 bits, and takes the next BAR too. */
  readonly wide: boolean;
  /** Whether reading it has no side effect. */
  readonly prefetchable: boolean;
  /** Where it lies, where that is known. */
  readonly start: bigint | undefined;
}

/** A line of `resource`. */
export interface Resource {
  /** The first address. */
  readonly start: bigint;
  /** Bytes. */
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
/** The low bits of a BAR, which the kernel keeps. */
const BAR_IO = 0x1;
const BAR_64 = 0x4;
const BAR_PREFETCH = 0x8;

const UNITS = ["", "K", "M", "G", "T"];

const PATTERN =
  /^(\d+)([KMGT]?)( io)?( 64bit)?( prefetchable)?(?: at (0x[0-9a-f]+))?$/;

/**
 * Reads the description of a BAR.
 *
 * @param text `"128K"`, `"32 io"`, `"8G 64bit prefetchable at 0x4000000000"`.
 * @throws {TypeError} When it is none, or its size is no power of two.
 */
export function parseBar(text: string): BarSpec {
  const match = PATTERN.exec(text);
  const [, digits = "", unit = "", io, wide, prefetchable, start] = match ?? [];
  const size = Number(digits) * 2 ** (10 * UNITS.indexOf(unit));
  // What was recorded can be a range that no register holds, as with IDE.
  const fits = size >= 4 && Number.isInteger(Math.log2(size)) ||
    start !== undefined;
  if (match === null || !fits) {
    throw new TypeError(
      `Cannot parse BAR ${JSON.stringify(text)}: expected a power of two, ` +
        'such as "128K", "32 io" or "8G 64bit prefetchable at 0x4000000000"',
    );
  }
  return {
    size,
    io: io !== undefined,
    wide: wide !== undefined,
    prefetchable: prefetchable !== undefined,
    start: start === undefined ? undefined : BigInt(start),
  };
}

/** Describes a BAR so that {@linkcode parseBar} reads it. */
export function formatBar(bar: BarSpec): string {
  const { size, io, wide, prefetchable, start } = bar;
  let unit = 0;
  while (size % 2 ** (10 * (unit + 1)) === 0 && unit < 4) unit++;
  return `${size / 2 ** (10 * unit)}${UNITS[unit]}` + (io ? " io" : "") +
    (wide ? " 64bit" : "") + (prefetchable ? " prefetchable" : "") +
    (start === undefined ? "" : ` at 0x${start.toString(16)}`);
}

/** Gives out addresses, as the firmware does. */
export class AddressSpaces {
  #memory = 0x8000_0000n;
  #above4G = 0x40_0000_0000n;
  #ports = 0x1000n;

  /**
   * Places a BAR, or several of a size behind each other.
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

/** A ROM is memory that is not written. */
export function romResource(spaces: AddressSpaces, rom: BarSpec): Resource {
  const { start, size, flags } = spaces.place(rom);
  return {
    start,
    size,
    flags: flags | IORESOURCE_PREFETCH | IORESOURCE_READONLY,
  };
}

const NO_RESOURCE = `${Array(3).fill(`0x${"0".repeat(16)}`).join(" ")}\n`;

/** Lines of `resource`, with zeros for what is not there. */
export function resourceLines(
  resources: readonly (Resource | undefined)[],
): string {
  return resources.map((resource) => {
    if (resource === undefined) return NO_RESOURCE;
    const { start, size, flags } = resource;
    return [start, start + BigInt(size) - 1n, flags]
      .map((value) => `0x${hex(value, 16)}`).join(" ") + "\n";
  }).join("");
}

function flagsOf({ io, wide, prefetchable }: BarSpec): number {
  if (io) return IORESOURCE_SIZEALIGN | IORESOURCE_IO | BAR_IO;
  return IORESOURCE_SIZEALIGN | IORESOURCE_MEM |
    (wide ? IORESOURCE_MEM_64 | BAR_64 : 0) |
    (prefetchable ? IORESOURCE_PREFETCH | BAR_PREFETCH : 0);
}
