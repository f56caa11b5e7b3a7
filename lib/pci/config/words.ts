/**
 * Reads config space as words and bits.
 *
 * @module
 */

/** A decoded value of a register, the same as JSON. */
export type ConfigValue =
  | boolean
  | number
  | string
  | null
  | readonly ConfigValue[]
  | { readonly [name: string]: ConfigValue };

/** The decoded values of a capability, by name. */
export type ConfigFields = Readonly<Record<string, ConfigValue>>;

/** Thrown for a read beyond the bytes that could be read. */
export class Truncated extends Error {}

/** Bytes of config space, from the start of a capability. */
export class Words {
  readonly #bytes: DataView;
  readonly #base: number;

  /**
   * Reads words from `base` on.
   *
   * @param bytes All of config space that could be read.
   * @param base The position of offset 0.
   */
  constructor(bytes: DataView, base = 0) {
    this.#bytes = bytes;
    this.#base = base;
  }

  /** How many bytes of config space could be read. */
  get size(): number {
    return this.#bytes.byteLength;
  }

  /** 8 bits at an offset. */
  u8(offset: number): number {
    return this.#bytes.getUint8(this.#at(offset, 1));
  }

  /** 16 bits at an offset. */
  u16(offset: number): number {
    return this.#bytes.getUint16(this.#at(offset, 2), true);
  }

  /** 32 bits at an offset. */
  u32(offset: number): number {
    return this.#bytes.getUint32(this.#at(offset, 4), true);
  }

  /** 64 bits at an offset. */
  u64(offset: number): bigint {
    return this.#bytes.getBigUint64(this.#at(offset, 8), true);
  }

  #at(offset: number, size: number): number {
    const at = this.#base + offset;
    if (at + size > this.#bytes.byteLength) throw new Truncated();
    return at;
  }
}

/** Returns the bits under a mask as a number, shifted to the right. */
export function bits(word: number, mask: number): number {
  const lowest = (mask & -mask) >>> 0;
  return ((word & mask) >>> 0) / lowest;
}

/** Returns which of several bits are set, by name. */
export function flags<const T extends Readonly<Record<string, number>>>(
  word: number,
  masks: T,
): { [K in keyof T]: boolean } {
  return Object.fromEntries(
    Object.entries(masks).map(([name, mask]) => [name, (word & mask) !== 0]),
  ) as { [K in keyof T]: boolean };
}

/** What the registers of some capabilities depend on. */
export interface FunctionFacts {
  /** Whether the header is that of a bridge. */
  readonly isBridge: boolean;
  /** Whether its PCI Express capability is that of a port. */
  readonly isPort: boolean;
}

/**
 * A capability's name, and the function that decodes it from its first byte on.
 */
export type Known = readonly [
  name: string,
  decode?: (words: Words, facts: FunctionFacts) => ConfigFields,
];
