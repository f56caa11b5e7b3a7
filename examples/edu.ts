/**
 * A complete userspace driver for QEMU's `edu` device: its registers, and DMA
 * in both directions (`docs/specs/edu` in QEMU's sources).
 *
 *     deno run --allow-ffi examples/edu.ts 0000:00:03.0
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, type Registers, VfioDevice } from "../mod.ts";

const ID = 0x00;
const FACTORIAL = 0x08;
const STATUS = 0x20;
const DMA_SOURCE = 0x80;
const DMA_TARGET = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;

const STATUS_COMPUTING = 1;
const DMA_RUN = 1n;
const DMA_FROM_DEVICE = 2n;

/** How long the device may take. */
const LONGEST = { timeout: 30_000 };

/** The address of the device's own memory, 4 KiB. */
const BUFFER = 0x40000n;
/**
 * Half of that memory: QEMU 7.2 aborts when a transfer touches its last byte.
 */
const CHUNK = 2048;

/** The addresses that the device can reach: 28 bits. */
export const EDU_DMA_MASK = 0xfff_ffffn;

/** Drives the device by its registers. */
export class Edu {
  readonly #registers: Registers;

  /** @param registers BAR 0. */
  constructor(registers: Registers) {
    this.#registers = registers;
  }

  /** Reads the identification, `0x010000ed`. */
  get id(): number {
    return this.#registers.read32(ID);
  }

  /** Has the device compute `n!`, modulo 2^32. */
  async factorial(n: number): Promise<number> {
    const registers = this.#registers;
    registers.write32(FACTORIAL, n);
    await registers.until32(STATUS, STATUS_COMPUTING, 0, LONGEST);
    return registers.read32(FACTORIAL);
  }

  /** Has the device copy at most 2048 bytes of memory into its own. */
  async copyToDevice(iova: bigint, size: number): Promise<void> {
    await this.#transfer(iova, BUFFER, size, DMA_RUN);
  }

  /**
   * Has the device copy at most 2048 bytes of its own memory to other memory.
   */
  async copyFromDevice(iova: bigint, size: number): Promise<void> {
    await this.#transfer(BUFFER, iova, size, DMA_RUN | DMA_FROM_DEVICE);
  }

  /** Has the device copy memory, through its own. */
  async copy(from: bigint, to: bigint, size: number): Promise<void> {
    for (let at = 0; at < size; at += CHUNK) {
      const length = Math.min(CHUNK, size - at);
      await this.copyToDevice(from + BigInt(at), length);
      await this.copyFromDevice(to + BigInt(at), length);
    }
  }

  async #transfer(
    from: bigint,
    to: bigint,
    size: number,
    command: bigint,
  ): Promise<void> {
    const registers = this.#registers;
    registers.write64(DMA_SOURCE, from);
    registers.write64(DMA_TARGET, to);
    registers.write64(DMA_COUNT, BigInt(size));
    registers.write64(DMA_COMMAND, command);
    await registers.until32(DMA_COMMAND, Number(DMA_RUN), 0, LONGEST);
  }
}

if (import.meta.main) {
  await using taken = await new Host().take(Deno.args[0]!);
  await using space = new AddressSpace();
  await using device = await VfioDevice.attach(taken.device, space);
  device.setBusMaster(true);

  using registers = device.bar(0).map();
  const edu = new Edu(registers);
  console.log(
    `device 0x${edu.id.toString(16)}, 10! = ${await edu.factorial(10)}`,
  );

  const dmaMask = EDU_DMA_MASK;
  using from = space.allocate(4096, { dmaMask });
  using to = space.allocate(4096, { dmaMask });
  crypto.getRandomValues(from.bytes);
  await edu.copy(from.iova, to.iova, from.size);
  const equal = to.bytes.every((byte, i) => byte === from.bytes[i]);
  console.log(
    `${from.size} bytes from IOVA 0x${from.iova.toString(16)} through the ` +
      `device to 0x${to.iova.toString(16)}: ${equal ? "equal" : "DIFFERENT"}`,
  );
}
