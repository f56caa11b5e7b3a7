import { toVfioError, VfioError } from "../../errors.ts";
import type { WaitOptions } from "../../host/driver/deadline.ts";
import type { Mapping } from "../../kernel/kernel.ts";
import {
  assertAccess,
  assertValue,
  assertValue64,
  type Registers,
} from "./registers.ts";
import { until32 } from "./until.ts";

// Every read stores its value here. Otherwise the compiler would remove a load
// whose value is not used, and merge two loads of one address with no store
// between them.
const sink = new Uint32Array(1);
const sink64 = new BigUint64Array(1);

/**
 * The name of the method that closes mapped registers. `mod.ts` does not export
 * it.
 */
export const CLOSED: unique symbol = Symbol("closed");

/**
 * A part of a region, mapped into this process. A register access is one load
 * or store by the processor, without a system call.
 *
 * On some platforms the device sees an access of 64 bits as two of 32.
 *
 * An access throws a `VfioError` `INACCESSIBLE` where it would end the process
 * with SIGBUS, or wait in the kernel: while the function's memory decoding is off
 * (`PCI_COMMAND_MEMORY`), while it is in D3hot, and while this process resets it.
 * After that it works again. This library knows what was written to
 * `VfioDevice.config`. It does not know what was written through another
 * descriptor: then an access does end the process. While another process resets
 * the function through VFIO, for which it needs a descriptor of this device, an
 * access waits until that is over, and the event loop with it. VFIO does not
 * notice a reset through sysfs, nor that of a link after a fatal error
 * (`VfioDevice.errors`), nor what a device does by itself, such as a reset by its
 * firmware. These do not end the process either: a read of a device that does not
 * answer is all ones, or 0 in a virtual machine of QEMU's.
 */
export class MappedRegisters implements Registers, Disposable {
  readonly #device: string;
  readonly #unmap: () => void;
  readonly #isPresent: () => boolean;
  #mapped = true;
  readonly #address: bigint;
  readonly #length: number;
  #unmapping = false;
  /** Throws what an access to closed registers throws, unless they open. */
  #closed: (() => void) | undefined;
  readonly #u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  readonly #u64: BigUint64Array;
  /** Bytes that can be accessed; 0 while it is closed. */
  #size: number;

  /** Made by `Region.map`. */
  constructor(
    device: string,
    { address, buffer, length, registers }: Mapping,
    unmap: () => void,
    isPresent: () => boolean = () => true,
  ) {
    this.#device = device;
    this.#unmap = unmap;
    this.#isPresent = isPresent;
    this.#address = address;
    this.#length = length;
    this.#size = length;
    const words = (width: number) => Math.floor(length / width);
    this.#u8 = registers?.u8 ?? new Uint8Array(buffer);
    this.#u16 = registers?.u16 ?? new Uint16Array(buffer, 0, words(2));
    this.#u32 = registers?.u32 ?? new Uint32Array(buffer, 0, words(4));
    this.#u64 = registers?.u64 ?? new BigUint64Array(buffer, 0, words(8));
  }

  /** Bytes mapped; 0 once it is unmapped. */
  get size(): number {
    return this.#unmapping ? 0 : this.#length;
  }

  /**
   * Where this process sees them, for a Worker: `SharedRegisters` of
   * `@passthru/vfio/rings`. Nothing checks an access there: once they are
   * unmapped, or while memory decoding is off, it ends the process.
   *
   * @throws {VfioError} `DETACHED`.
   */
  get unsafeAddress(): bigint {
    if (this.#unmapping) this.#refuse(0, 1);
    return this.#address;
  }

  /** Reads 8 bits with one load. */
  read8(offset: number): number {
    this.#check(offset, 1);
    return sink[0] = this.#u8[offset]!;
  }

  /** Reads 16 bits with one load. */
  read16(offset: number): number {
    this.#check(offset, 2);
    return sink[0] = this.#u16[offset / 2]!;
  }

  /** Reads 32 bits with one load. */
  read32(offset: number): number {
    this.#check(offset, 4);
    return sink[0] = this.#u32[offset / 4]!;
  }

  /** Reads 64 bits with one load. */
  read64(offset: number): bigint {
    this.#check(offset, 8);
    return sink64[0] = this.#u64[offset / 8]!;
  }

  /** Writes 8 bits with one store. */
  write8(offset: number, value: number): void {
    this.#check(offset, 1);
    assertValue(value, 1);
    this.#u8[offset] = value;
  }

  /** Writes 16 bits with one store. */
  write16(offset: number, value: number): void {
    this.#check(offset, 2);
    assertValue(value, 2);
    this.#u16[offset / 2] = value;
  }

  /** Writes 32 bits with one store. */
  write32(offset: number, value: number): void {
    this.#check(offset, 4);
    if (value >>> 0 !== value) assertValue(value, 4);
    this.#u32[offset / 4] = value;
  }

  /** Writes 64 bits with one store. */
  write64(offset: number, value: bigint): void {
    this.#check(offset, 8);
    assertValue64(value);
    this.#u64[offset / 8] = value;
  }

  until32(
    offset: number,
    mask: number,
    value: number,
    options?: WaitOptions,
  ): Promise<number> {
    const device = { name: this.#device, isPresent: this.#isPresent };
    return until32(this, device, { offset, mask, value }, options);
  }

  /**
   * Unmaps the registers. An access after that throws a `VfioError` `DETACHED`.
   * Calling it again does nothing.
   *
   * @throws {VfioError} `KERNEL`. It can be called again.
   */
  unmap(): void {
    if (!this.#mapped) return;
    this.#unmapping = true;
    this.#size = 0;
    try {
      this.#unmap();
    } catch (error) {
      throw toVfioError(error, "unmap registers", this.#device);
    }
    this.#mapped = false;
  }

  /**
   * Closes the registers, or opens them.
   *
   * @ignore
   * @param refuse Throws what an access is to throw, or opens the registers;
   * `undefined` opens them.
   */
  [CLOSED](refuse: (() => void) | undefined): void {
    if (this.#unmapping) return;
    this.#closed = refuse;
    this.#size = refuse === undefined ? this.#length : 0;
  }

  /** The same as {@linkcode MappedRegisters.unmap}. */
  [Symbol.dispose](): void {
    this.unmap();
  }

  #check(offset: number, width: number): void {
    if (
      offset % width !== 0 || !(offset >= 0 && offset <= this.#size - width)
    ) this.#refuse(offset, width);
  }

  // A function of its own, so that the check is small enough to be inlined.
  #refuse(offset: number, width: number): void {
    if (this.#unmapping) {
      throw new VfioError("DETACHED", {
        device: this.#device,
        problem: "its registers were unmapped, or the device was detached",
        hint: "map them again after attaching",
      });
    }
    this.#closed?.();
    assertAccess(this.#size, offset, width);
  }
}
