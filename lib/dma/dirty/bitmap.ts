import {
  type BitRun,
  clearBits,
  countBits,
  forEachRun,
  nextRun,
  orBits,
  setBits,
} from "./bits.ts";

/** Bits in a word of the kernel's. */
const WORD = 64;

/** How many words of 32 bits the kernel's words of so many pages are. */
function wordsOf(pages: number): number {
  return Math.ceil(pages / WORD) * (WORD / 32);
}

/** IOVAs, in bytes. */
export interface DirtyRange {
  /** The first one. */
  readonly iova: bigint;
  /** How many bytes. */
  readonly size: bigint;
}

/**
 * Which pages of a range devices have written: a bit a page, as the kernel has
 * it. Iterating gives the runs of written pages.
 */
export class DirtyBitmap implements Iterable<DirtyRange> {
  readonly #words: Uint32Array<ArrayBuffer>;
  /** The first IOVA of the range. */
  readonly iova: bigint;
  /** Bytes of the range. */
  readonly size: bigint;
  /** What a bit stands for, in bytes. */
  readonly pageSize: number;
  #reason: string | undefined;

  /**
   * Made by {@linkcode DirtyTracking.read}, without a page that was written.
   *
   * @param iova The first IOVA of the range.
   * @param bytes Bytes of the range, whole pages.
   * @param pageSize What a bit stands for, in bytes.
   * @param words Its bits, where these are a part of another one's.
   */
  constructor(
    iova: bigint,
    bytes: number,
    pageSize: number,
    words: Uint32Array<ArrayBuffer> = new Uint32Array(
      wordsOf(bytes / pageSize),
    ),
  ) {
    this.iova = iova;
    this.size = BigInt(bytes);
    this.pageSize = pageSize;
    this.#words = words;
  }

  /** How many pages the range has. */
  get pages(): number {
    return Number(this.size) / this.pageSize;
  }

  /** How many of them were written. */
  get dirtyPages(): number {
    return countBits(this.#words);
  }

  /**
   * The bits: bit `i % 8` of byte `i / 8` is for page `i`. Bits behind the last
   * page are 0.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset, byteLength } = this.#words;
    return new Uint8Array(buffer, byteOffset, byteLength);
  }

  /** Whether exactly the pages that are marked were written. */
  get exact(): boolean {
    return this.#reason === undefined;
  }

  /**
   * Why pages are marked that nobody may have written, as a clause; `undefined`
   * where there are none. A page that was written is always marked.
   */
  get reason(): string | undefined {
    return this.#reason;
  }

  /**
   * Whether the page at an IOVA was written.
   *
   * @param iova An IOVA in the range.
   */
  has(iova: bigint): boolean {
    if (iova < this.iova || iova >= this.iova + this.size) return false;
    const page = Math.floor(Number(iova - this.iova) / this.pageSize);
    return (this.#words[page >>> 5]! >>> (page & 31) & 1) === 1;
  }

  /**
   * Calls a function for each run of written pages, ascending. It allocates
   * nothing, so that a large bitmap is walked as fast as it is read.
   *
   * @param visit Gets where a run begins in the range, and how long it is, in
   * bytes.
   */
  forEach(visit: (offset: number, bytes: number) => void): void {
    forEachRun(this.#words, this.pageSize, visit);
  }

  /** The runs of written pages, ascending. */
  *[Symbol.iterator](): Iterator<DirtyRange> {
    const run: BitRun = { first: 0, end: 0 };
    const page = BigInt(this.pageSize);
    while (nextRun(this.#words, run)) {
      yield {
        iova: this.iova + BigInt(run.first) * page,
        size: BigInt(run.end - run.first) * page,
      };
    }
  }

  /** @ignore Marks pages of a part of the range, given in bytes. */
  mark(offset: number, bytes: number): void {
    setBits(this.#words, ...this.#bits(offset, bytes));
  }

  /** @ignore Marks no page of a part of the range, given in bytes. */
  unmark(offset: number, bytes: number): void {
    clearBits(this.#words, ...this.#bits(offset, bytes));
  }

  #bits(offset: number, bytes: number): [first: number, end: number] {
    return [offset / this.pageSize, (offset + bytes) / this.pageSize];
  }

  /**
   * @ignore A part of the range, whose bits are bits of this one; `undefined`
   * where it reaches further, or does not begin with a word of the kernel's.
   */
  part(iova: bigint, bytes: number): DirtyBitmap | undefined {
    const offset = Number(iova - this.iova);
    if (offset < 0 || offset + bytes > Number(this.size)) return undefined;
    const first = offset / this.pageSize;
    if (first % WORD !== 0) return undefined;
    const words = this.#words.subarray(
      first / 32,
      first / 32 + wordsOf(bytes / this.pageSize),
    );
    return new DirtyBitmap(iova, bytes, this.pageSize, words);
  }

  /** @ignore Says why pages are marked that nobody may have written. */
  blur(reason: string): void {
    this.#reason ??= reason;
  }

  /** @ignore Marks all pages, and says why. */
  markAll(reason: string): void {
    this.mark(0, Number(this.size));
    this.blur(reason);
  }

  /** @ignore Marks what is marked in another one, as far as it is in the range. */
  merge(other: DirtyBitmap): void {
    const shift = Number(other.iova - this.iova);
    const from = Math.max(shift, 0);
    const to = Math.min(shift + Number(other.size), Number(this.size));
    const { pageSize } = this;
    const merged = orBits(
      this.#words,
      from / pageSize,
      other.#words,
      (from - shift) / pageSize,
      (to - shift) / pageSize,
    );
    if (merged && other.reason !== undefined) this.blur(other.reason);
  }

  /** @ignore Marks what is marked in the kernel's bytes for the same range. */
  add(bytes: Uint8Array): void {
    const own = this.bytes;
    for (const [i, byte] of bytes.entries()) own[i]! |= byte;
  }

  /** @ignore Unmarks the pages that another one's range covers. */
  exclude(other: DirtyBitmap): void {
    const shift = Number(other.iova - this.iova);
    const from = Math.max(shift, 0);
    const to = Math.min(shift + Number(other.size), Number(this.size));
    if (from < to) this.unmark(from, to - from);
  }
}
