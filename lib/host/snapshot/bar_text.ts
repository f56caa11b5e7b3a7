/**
 * Reads and writes the description of a BAR or a ROM in a recording.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import { hex } from "../../hex.ts";

/** A BAR or a ROM of a recording. */
export interface BarSpec {
  /** The size in bytes, a power of two. */
  readonly size: number;
  /** Whether it is ports rather than memory. */
  readonly io: boolean;
  /** Whether its address has 64 bits, which occupy the next BAR too. */
  readonly wide: boolean;
  /** Whether reading it has no side effect. */
  readonly prefetchable: boolean;
  /** Its address, if it is known. */
  readonly start: bigint | undefined;
}

const UNITS = ["", "K", "M", "G", "T"];

const PATTERN =
  /^(\d+)([KMGT]?)( io)?( 64bit)?( prefetchable)?(?: at (0x[0-9a-f]+))?$/;

/**
 * Reads the description of a BAR.
 *
 * @param text `"128K"`, `"32 io"`, `"8G 64bit prefetchable at 0x4000000000"`.
 * @throws {TypeError} When it is invalid, or its size is no power of two.
 */
export function parseBar(text: string): BarSpec {
  const match = PATTERN.exec(text);
  const [, digits = "", unit = "", io, wide, prefetchable, start] = match ?? [];
  const size = Number(digits) * 2 ** (10 * UNITS.indexOf(unit));
  // A recorded BAR can be a range that no register holds, as with IDE.
  const fits = size >= 4 && Number.isInteger(Math.log2(size)) ||
    size > 0 && start !== undefined;
  if (match === null || !fits) {
    throw new TypeError(
      `Cannot parse BAR ${shortJson(text)}: expected a power of two, ` +
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

/** Writes the description of a BAR for {@linkcode parseBar}. */
export function formatBar(bar: BarSpec): string {
  const { size, io, wide, prefetchable, start } = bar;
  let unit = 0;
  while (size % 2 ** (10 * (unit + 1)) === 0 && unit < 4) unit++;
  return `${size / 2 ** (10 * unit)}${UNITS[unit]}` + (io ? " io" : "") +
    (wide ? " 64bit" : "") + (prefetchable ? " prefetchable" : "") +
    (start === undefined ? "" : ` at ${hex(start)}`);
}
