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
  return at * 32 + 31 - Math.clz32(word & -word);
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
