/**
 * A driver of QEMU's `edu` device (`docs/specs/edu.rst` in QEMU).
 *
 * @module
 */
import type { MappedRegisters, VfioDevice } from "../../../mod.ts";

/** The addresses that it can put on the bus: 28 bits. */
export const EDU_DMA_MASK = 0xfff_ffffn;

/** What its identification register says. */
export const EDU_ID = 0x0100_00ed;

const ID = 0x00;
const LIVENESS = 0x04;
const SOURCE = 0x80;
const TARGET = 0x88;
const COUNT = 0x90;
const COMMAND = 0x98;
const COMMAND_START = 1;
const COMMAND_FROM_DEVICE = 2;

/** Where its buffer of 4 KiB begins, as its DMA engine counts. */
const BUFFER = 0x4_0000n;

/** QEMU 7.2 ends itself at a transfer that touches the buffer's last byte. */
const CHUNK = 2048;

/** An `edu` device that may start DMA. */
export class Edu {
  readonly #registers: MappedRegisters;

  /** @param device The device, attached. */
  constructor(device: VfioDevice) {
    this.#registers = device.region(0).map();
    device.setBusMaster(true);
  }

  /** What its identification register says: {@linkcode EDU_ID}. */
  get id(): number {
    return this.#registers.read32(ID);
  }

  /** Writes the liveness register, and reads it: the value's complement. */
  echo(value: number): number {
    this.#registers.write32(LIVENESS, value);
    return this.#registers.read32(LIVENESS);
  }

  /**
   * Copies memory into the device's buffer.
   *
   * @param iova Where the device sees the memory.
   * @param size Bytes, at most 2048.
   */
  async copyToDevice(iova: bigint, size: number): Promise<void> {
    await this.#transfer(iova, BUFFER, size, COMMAND_START);
  }

  /**
   * Copies the device's buffer into memory.
   *
   * @param iova Where the device sees the memory.
   * @param size Bytes, at most 2048.
   */
  async copyFromDevice(iova: bigint, size: number): Promise<void> {
    const command = COMMAND_START | COMMAND_FROM_DEVICE;
    await this.#transfer(BUFFER, iova, size, command);
  }

  /**
   * Copies memory through the device's buffer.
   *
   * @param from Where the device sees what it copies.
   * @param to Where it copies it to.
   * @param size Bytes.
   */
  async copy(from: bigint, to: bigint, size: number): Promise<void> {
    for (let done = 0; done < size; done += CHUNK) {
      const length = Math.min(CHUNK, size - done);
      await this.copyToDevice(from + BigInt(done), length);
      await this.copyFromDevice(to + BigInt(done), length);
    }
  }

  async #transfer(
    source: bigint,
    target: bigint,
    size: number,
    command: number,
  ): Promise<void> {
    if (size > CHUNK) throw new RangeError(`Cannot copy ${size} bytes at once`);
    this.#registers.write64(SOURCE, source);
    this.#registers.write64(TARGET, target);
    this.#registers.write64(COUNT, BigInt(size));
    this.#registers.write64(COMMAND, BigInt(command));
    while (this.#registers.read64(COMMAND) & BigInt(COMMAND_START)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
