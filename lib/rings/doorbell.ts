import type { Registers } from "../device/regions/registers.ts";
import { publish as publishStores } from "./order.ts";

// A name that is imported is looked up at each call, and this one is not.
const publish = publishStores;

/**
 * A register that tells a device how far a ring is filled or emptied.
 *
 * @example Hand three descriptors over
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { Doorbell } from "@passthru/vfio/rings";
 *
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * using registers = device.bar(0).map();
 * const tail = new Doorbell(registers, 0x3818);
 * tail.ring(3);
 * ```
 */
export class Doorbell {
  readonly #registers: Pick<Registers, "write32">;
  readonly #offset: number;

  /**
   * Names a register. It is not accessed.
   *
   * @param registers The device's registers.
   * @param offset Where it is in them, in bytes.
   */
  constructor(registers: Pick<Registers, "write32">, offset: number) {
    this.#registers = registers;
    this.#offset = offset;
  }

  /**
   * Writes it. The device sees every store to memory before this one first.
   *
   * @param value 32 bits.
   * @throws {RangeError} If there is no such register, or the value has more
   * bits.
   * @throws {VfioError} `DETACHED`, `INACCESSIBLE`.
   */
  ring(value: number): void {
    publish();
    this.#registers.write32(this.#offset, value);
  }
}
