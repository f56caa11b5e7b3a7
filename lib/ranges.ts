/**
 * Ranges of 64-bit addresses.
 *
 * @module
 */

/** A range of addresses, in bytes, `last` inclusive. */
export interface AddressRange {
  /** The first address. */
  readonly start: bigint;
  /** The last address. */
  readonly last: bigint;
}

/** The smaller of two. */
export function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** The larger of two. */
export function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** What lies in ranges of both lists. */
export function intersection(
  a: readonly AddressRange[],
  b: readonly AddressRange[],
): AddressRange[] {
  return a.flatMap((one) =>
    b.map((other) => ({
      start: max(one.start, other.start),
      last: min(one.last, other.last),
    }))
  ).filter(({ start, last }) => start <= last);
}

/** What lies in a range of `ranges`, and in none of `taken`. */
export function difference(
  ranges: readonly AddressRange[],
  taken: readonly AddressRange[],
): readonly AddressRange[] {
  return taken.reduce<readonly AddressRange[]>(
    (left, { start, last }) =>
      left.flatMap((range) => [
        { start: range.start, last: min(range.last, start - 1n) },
        { start: max(range.start, last + 1n), last: range.last },
      ]).filter((range) => range.start <= range.last),
    ranges,
  );
}
