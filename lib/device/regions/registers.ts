import type { WaitOptions } from "../../host/driver/deadline.ts";

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
  /**
   * Waits until bits of a register of 32 bits have a value:
   * `(read32(offset) & mask) === value`. It reads a few times at once, then
   * after pauses of 1 to 16 ms, in which the event loop goes on.
   *
   * @param offset Where the register is, in bytes.
   * @param mask The bits that count.
   * @param value What they are to be.
   * @param options The time limit, 10 s by default, and a signal.
   * @returns The value of the register, with all its bits.
   * @throws {RangeError} If the value has bits that the mask has not.
   * @throws {VfioError} `TIMED_OUT`; `DEVICE_LOST` if the register reads as
   * ones because the device is gone; `DETACHED`.
   * @throws The signal's reason, when it is aborted.
   *
   * @example Wait until a controller is ready
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace();
   * await using nvme = await VfioDevice.attach("0000:01:00.0", space);
   * using registers = nvme.bar(0).map();
   * registers.write32(0x14, 0);
   * await registers.until32(0x1c, 1, 0, { timeout: 5000 });
   * ```
   */
  until32(
    offset: number,
    mask: number,
    value: number,
    options?: WaitOptions,
  ): Promise<number>;
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
