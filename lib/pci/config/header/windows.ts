/**
 * Decodes the windows of bridges: the addresses that they pass on.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import { bits, type ConfigValue } from "../words.ts";

/**
 * Decodes an end of a window. The upper register counts only if the lower one
 * says so.
 */
export function windowAddress(
  register: number,
  mask: number,
  shift: number,
  upper = 0,
  upperShift = 0,
): bigint {
  const wide = bits(register, 0xf) === 1;
  return BigInt(register & mask) << BigInt(shift) |
    (wide ? BigInt(upper) << BigInt(upperShift) : 0n);
}

/** Decodes a window. A base beyond the limit disables it. */
export function window(
  base: bigint,
  limit: bigint,
  granule: bigint,
): ConfigValue {
  return base > limit ? null : { start: hex(base), last: hex(limit | granule) };
}
