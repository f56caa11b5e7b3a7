/**
 * Runs of bits in a bitmap as the kernel has it: words, the lowest bit first.
 *
 * @module
 */

/** The bits that are set from `first` on, up to but not at `end`. */
export interface BitRun {
  /** The first of them. */
  first: number;
  /** The bit behind the last. */
  end: number;
}

/** All bits of a word. */
const ALL = 0xffff_ffff;

/**
 * Finds the next run of bits that are set.
 *
 * @param words The bitmap.
 * @param run Gets the run. The search begins at its `end`.
 * @returns Whether there is one.
 */
export function nextRun(words: Uint32Array, run: BitRun): boolean {
  const first = seek(words, run.end, 0);
  if (first === undefined) return false;
  run.first = first;
  run.end = seek(words, first, ALL) ?? words.length * 32;
  return true;
}

/**
 * Visits all runs of bits that are set, ascending: as {@linkcode nextRun}, and
 * several times as fast where runs are short.
 *
 * @param words The bitmap.
 * @param unit What a bit stands for.
 * @param visit Gets where a run begins, and how long it is, in units.
 */
export function forEachRun(
  words: Uint32Array,
  unit: number,
  visit: (first: number, length: number) => void,
): void {
  /** Where the run began that goes on. */
  let first = -1;
  for (let at = 0; at < words.length; at++) {
    const word = words[at]! | 0;
    // The bits that differ from those before them.
    let edges = word ^ (word << 1 | (first < 0 ? 0 : 1));
    while (edges !== 0) {
      const edge = at * 32 + lowest(edges);
      edges &= edges - 1;
      if (first < 0) first = edge;
      else {
        visit(first * unit, (edge - first) * unit);
        first = -1;
      }
    }
  }
  if (first >= 0) visit(first * unit, (words.length * 32 - first) * unit);
}

/** The lowest bit of a word that is set. */
function lowest(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** The first bit from one on that differs from those of `skipped`. */
function seek(
  words: Uint32Array,
  from: number,
  skipped: 0 | typeof ALL,
): number | undefined {
  let at = from >>> 5;
  if (at >= words.length) return undefined;
  let word = ((words[at]! ^ skipped) & (ALL << (from & 31))) >>> 0;
  while (word === 0) {
    if (++at === words.length) return undefined;
    word = (words[at]! ^ skipped) >>> 0;
  }
  return at * 32 + lowest(word);
}

/** Sets the bits from `first` on, up to but not at `end`. */
export function setBits(
  words: Uint32Array,
  first: number,
  end: number,
): void {
  if (first >= end) return;
  const { from, last, head, tail } = masks(first, end);
  if (from === last) words[from]! |= head & tail;
  else {
    words[from]! |= head;
    words.fill(ALL, from + 1, last);
    words[last]! |= tail;
  }
}

/** Clears the bits from `first` on, up to but not at `end`. */
export function clearBits(
  words: Uint32Array,
  first: number,
  end: number,
): void {
  if (first >= end) return;
  const { from, last, head, tail } = masks(first, end);
  if (from === last) words[from]! &= ~(head & tail);
  else {
    words[from]! &= ~head;
    words.fill(0, from + 1, last);
    words[last]! &= ~tail;
  }
}

/**
 * Sets the bits in one bitmap that are set in another, wherever they lie there.
 *
 * @param into The bitmap that gets them.
 * @param at The bit there that gets bit `first`.
 * @param from The bitmap that has them.
 * @param first The first of them there.
 * @param end The bit behind the last.
 * @returns Whether one is set there.
 */
export function orBits(
  into: Uint32Array,
  at: number,
  from: Uint32Array,
  first: number,
  end: number,
): boolean {
  if (first >= end) return false;
  const { from: low, last, head, tail } = masks(at, at + end - first);
  // Bit 0 of word `low` gets this one, which can lie before the first.
  const origin = first - (at & 31);
  const shift = origin & 31;
  let any = 0;
  for (let to = low, word = origin >> 5; to <= last; to++, word++) {
    let bits = word < 0 ? 0 : from[word]! >>> shift;
    if (shift > 0 && word + 1 < from.length) {
      bits |= from[word + 1]! << (32 - shift);
    }
    if (to === low) bits &= head;
    if (to === last) bits &= tail;
    into[to]! |= bits;
    any |= bits;
  }
  return any !== 0;
}

/** The words that bits lie in, and which bits of the outer ones. */
function masks(first: number, end: number) {
  return {
    from: first >>> 5,
    last: (end - 1) >>> 5,
    head: ALL << (first & 31),
    tail: ALL >>> (31 - ((end - 1) & 31)),
  };
}

/** How many bits are set. */
export function countBits(words: Uint32Array): number {
  let count = 0;
  for (let word of words) {
    if (word === 0) continue;
    word -= (word >>> 1) & 0x5555_5555;
    word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333);
    count += (((word + (word >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101 >>> 0) >>> 24;
  }
  return count;
}
