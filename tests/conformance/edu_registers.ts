import type { DeviceFile } from "./device_file.ts";

const BAR = 0;
const LIVENESS = 0x04;
const STATUS = 0x20;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
const SOURCE = 0x80;
const TARGET = 0x88;
const COUNT = 0x90;
const COMMAND = 0x98;

const RUN = 1;
const FROM_DEVICE = 2;

/** The address of its buffer for its DMA engine. */
const BUFFER = 0x4_0000;

/** The registers of an `edu`, through its descriptor. */
export class EduRegisters {
  readonly #device: DeviceFile;

  /** @param device The `edu`. */
  constructor(device: DeviceFile) {
    this.#device = device;
  }

  /** Raises its interrupt for some reasons. */
  raise(reasons: number): void {
    this.#write(RAISE, reasons);
  }

  /** Clears reasons for its interrupt. */
  acknowledge(reasons: number): void {
    this.#write(ACKNOWLEDGE, reasons);
  }

  /** Sets the registers to their values at power-on. */
  clear(): void {
    this.acknowledge(0xffff_ffff);
    // After this it reads as 0.
    this.#write(LIVENESS, 0xffff_ffff);
    for (const register of [STATUS, SOURCE, TARGET, COUNT]) {
      this.#write(register, 0);
    }
  }

  /** Copies memory into its buffer. */
  async copyToDevice(iova: number, size: number): Promise<void> {
    await this.#transfer(iova, BUFFER, size, RUN);
  }

  /** Copies its buffer into memory. */
  async copyFromDevice(iova: number, size: number): Promise<void> {
    await this.#transfer(BUFFER, iova, size, RUN | FROM_DEVICE);
  }

  async #transfer(
    source: number,
    target: number,
    size: number,
    command: number,
  ): Promise<void> {
    this.#write(SOURCE, source);
    this.#write(TARGET, target);
    this.#write(COUNT, size);
    this.#write(COMMAND, command);
    while (this.#read(COMMAND) & RUN) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #read(offset: number): number {
    const bytes = this.#device.read(BAR, offset, 4);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  #write(offset: number, value: number): void {
    const bytes = new Uint8Array(new Uint32Array([value]).buffer);
    this.#device.write(BAR, offset, bytes);
  }
}
