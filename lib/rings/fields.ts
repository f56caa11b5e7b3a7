/**
 * Fields of the structs in a ring. An access allocates nothing, and `get` is a
 * load each time that it is called.
 *
 * @module
 */

// Every load stores its value here, so that the compiler neither removes it nor
// merges two of them.
const sink = new Uint32Array(1);

/** Where a ring lies, as its fields see it. */
export interface RingPlace {
  /** Its memory, from its first byte to its last. */
  readonly buffer: ArrayBuffer;
  /** Where its first struct begins in the buffer, in bytes. */
  readonly byteOffset: number;
  /** Bytes in a struct. */
  readonly size: number;
  /** How many structs there are. */
  readonly entries: number;
  /** Throws what an access outside is to throw. */
  refuse(slot: number): never;
}

/** A field of the structs in a ring. */
export interface Field {
  /**
   * Loads it.
   *
   * @param slot The struct's number.
   * @throws {RangeError} If there is no such struct.
   * @throws {VfioError} `DETACHED` if the memory was freed.
   */
  get(slot: number): number;
  /**
   * Stores it: one store, except that one of 64 bits is two of 32. The value is
   * not checked: its low bits are taken.
   *
   * @param slot The struct's number.
   * @param value The value.
   * @throws As {@linkcode Field.get}.
   */
  set(slot: number, value: number): void;
}

/** A description of a field: where it is, and how wide. */
export interface FieldType {
  /** Where it begins in its struct, in bytes. */
  readonly offset: number;
  /** Its width in bytes. */
  readonly width: 1 | 2 | 4 | 8;
}

/** A field of 8 bits. */
export function u8(offset: number): FieldType {
  return { offset, width: 1 };
}

/** A field of 16 bits, little-endian. */
export function u16(offset: number): FieldType {
  return { offset, width: 2 };
}

/** A field of 32 bits, little-endian. */
export function u32(offset: number): FieldType {
  return { offset, width: 4 };
}

/**
 * A field of 64 bits, little-endian, as a number below 2^53: addresses fit.
 * It is accessed as two halves, the lower one first.
 */
export function u64(offset: number): FieldType {
  return { offset, width: 8 };
}

/**
 * Makes a field.
 *
 * @param ring Where the structs are.
 * @param type Which field it is.
 * @throws {RangeError} If it is not aligned, or not inside the struct.
 */
export function makeField(ring: RingPlace, type: FieldType): Field {
  const { offset, width } = type;
  // Halves of 64 bits need the alignment of halves.
  const alignment = Math.min(width, 4);
  const isInside = offset >= 0 && offset + width <= ring.size;
  if (!isInside || offset % alignment !== 0) {
    throw new RangeError(
      `Cannot have a field of ${width} bytes at offset ${offset} of ` +
        `${ring.size} bytes: expected a multiple of ${alignment} inside`,
    );
  }
  const { buffer, byteOffset, size, entries } = ring;
  const length = size * entries;
  switch (width) {
    case 1:
      return new Small(ring, new Uint8Array(buffer, byteOffset, length), type);
    case 2:
      return new Small(
        ring,
        new Uint16Array(buffer, byteOffset, length / 2),
        type,
      );
    case 4:
      return new Small(
        ring,
        new Uint32Array(buffer, byteOffset, length / 4),
        type,
      );
    case 8:
      return new Halves(
        ring,
        new Uint32Array(buffer, byteOffset, length / 4),
        type,
      );
  }
}

/** A field of 32 bits or fewer. */
class Small implements Field {
  readonly #ring: RingPlace;
  readonly #words: Uint8Array | Uint16Array | Uint32Array;
  readonly #stride: number;
  readonly #offset: number;

  constructor(
    ring: RingPlace,
    words: Uint8Array | Uint16Array | Uint32Array,
    { offset, width }: FieldType,
  ) {
    this.#ring = ring;
    this.#words = words;
    this.#stride = ring.size / width;
    this.#offset = offset / width;
  }

  get(slot: number): number {
    const index = slot * this.#stride + this.#offset;
    if (!(index >= 0 && index < this.#words.length)) this.#ring.refuse(slot);
    return sink[0] = this.#words[index]!;
  }

  set(slot: number, value: number): void {
    const index = slot * this.#stride + this.#offset;
    if (!(index >= 0 && index < this.#words.length)) this.#ring.refuse(slot);
    this.#words[index] = value;
  }
}

/** A field of 64 bits. */
class Halves implements Field {
  readonly #ring: RingPlace;
  readonly #words: Uint32Array;
  readonly #stride: number;
  readonly #offset: number;

  constructor(ring: RingPlace, words: Uint32Array, { offset }: FieldType) {
    this.#ring = ring;
    this.#words = words;
    this.#stride = ring.size / 4;
    this.#offset = offset / 4;
  }

  get(slot: number): number {
    const index = slot * this.#stride + this.#offset;
    if (!(index >= 0 && index < this.#words.length)) this.#ring.refuse(slot);
    const low = sink[0] = this.#words[index]!;
    const high = sink[0] = this.#words[index + 1]!;
    return high * 2 ** 32 + low;
  }

  set(slot: number, value: number): void {
    const index = slot * this.#stride + this.#offset;
    if (!(index >= 0 && index < this.#words.length)) this.#ring.refuse(slot);
    this.#words[index] = value;
    this.#words[index + 1] = value >= 2 ** 32 ? value / 2 ** 32 : 0;
  }
}
