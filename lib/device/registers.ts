/**
 * Little-endian access to a device's registers. Each call is exactly one access
 * of its width, and accesses happen in the order of the calls.
 *
 * An offset is in bytes and a multiple of the access's width. Any other, or one
 * outside, throws a `RangeError`. Once the device is detached, every access
 * throws a `VfioError` `DETACHED`.
 */
export interface Registers {
  /** Bytes that can be accessed. */
  readonly size: number;
  /** Reads 8 bits. */
  read8(offset: number): number;
  /** Reads 16 bits. */
  read16(offset: number): number;
  /** Reads 32 bits. */
  read32(offset: number): number;
  /** Reads 64 bits. */
  read64(offset: number): bigint;
  /** Writes 8 bits. */
  write8(offset: number, value: number): void;
  /** Writes 16 bits. */
  write16(offset: number, value: number): void;
  /** Writes 32 bits. */
  write32(offset: number, value: number): void;
  /** Writes 64 bits. */
  write64(offset: number, value: bigint): void;
}

/**
 * Checks an access.
 *
 * @param size Bytes that can be accessed.
 * @param offset Where the access begins, in bytes.
 * @param width Bytes of the access. The offset must be a multiple of it.
 */
export function assertAccess(
  size: number,
  offset: number,
  width: number,
): void {
  if (offset % width === 0 && offset >= 0 && offset + width <= size) return;
  throw new RangeError(
    `Cannot access ${width} bytes at offset ${offset}: expected a multiple ` +
      `of ${width} inside ${size} bytes`,
  );
}

/**
 * Checks a value before it is written: a typed array would truncate it.
 *
 * @param value The value.
 * @param width Bytes of the register.
 */
export function assertValue(value: number, width: 1 | 2 | 4): void {
  const mask = width === 4 ? 0xffff_ffff : width === 2 ? 0xffff : 0xff;
  if (Number.isInteger(value) && value >= 0 && value <= mask) return;
  throw new RangeError(
    `Cannot write ${value}: expected a whole number of ${8 * width} bits`,
  );
}

/** Checks a value of 64 bits that is to be written. */
export function assertValue64(value: bigint): void {
  if (BigInt.asUintN(64, value) === value) return;
  throw new RangeError(`Cannot write ${value}: expected 64 bits`);
}
