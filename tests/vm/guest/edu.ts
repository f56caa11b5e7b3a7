/**
 * The example's driver for QEMU's `edu`, for tests.
 *
 * @module
 */
import * as example from "../../../examples/edu.ts";
import type { MappedRegisters, VfioDevice } from "../../../mod.ts";

export { EDU_DMA_MASK } from "../../../examples/edu.ts";

/** The value of its identification register. */
export const EDU_ID = 0x0100_00ed;

const LIVENESS = 0x04;

/** An `edu` device that may start DMA. */
export class Edu extends example.Edu {
  readonly #registers: MappedRegisters;

  /** @param device The device, attached. */
  constructor(device: VfioDevice) {
    const registers = device.region(0).map();
    super(registers);
    this.#registers = registers;
    device.setBusMaster(true);
  }

  /** Writes the liveness register, and reads the value's complement from it. */
  echo(value: number): number {
    this.#registers.write32(LIVENESS, value);
    return this.#registers.read32(LIVENESS);
  }
}
