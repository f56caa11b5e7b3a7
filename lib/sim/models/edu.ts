import type { Bar, DeviceKind, DeviceModel, DevicePort } from "./model.ts";

const ID = 0x00;
const LIVENESS = 0x04;
const FACTORIAL = 0x08;
const STATUS = 0x20;
const IRQ_STATUS = 0x24;
const IRQ_RAISE = 0x60;
const IRQ_ACKNOWLEDGE = 0x64;
const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;

const STATUS_IRQ_FACTORIAL = 0x80;
const DMA_RUN = 0x1n;
const DMA_FROM_DEVICE = 0x2n;
const DMA_IRQ = 0x4n;
const IRQ_FACTORIAL = 0x1;
const IRQ_DMA = 0x100;

/** The address of the device's own memory, for its DMA engine. */
const BUFFER_BASE = 0x4_0000n;
const BUFFER_SIZE = 4096;

/** The device has 28 address lines. */
const DMA_MASK = (1n << 28n) - 1n;

/**
 * QEMU's educational device (`docs/specs/edu.rst`): a liveness check, a
 * factorial, interrupts, and DMA to and from 4 KiB of its own.
 */
export const edu: DeviceKind = {
  name: "edu",
  id: "1234:11e8",
  class: 0x00ff00,
  conventional: true,
  resets: [],
  create: (port) => new Edu(port),
};

class Edu implements DeviceModel {
  readonly msi = 1;
  readonly msix = 0;
  readonly intx = true;
  readonly bars: readonly Bar[];
  readonly #port: DevicePort;
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  readonly #registers = new Map<number, bigint>();
  #pending = 0;

  constructor(port: DevicePort) {
    this.#port = port;
    this.bars = [{
      size: 2 ** 20,
      mappable: true,
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => this.#write(offset, width, value),
    }];
  }

  reset(): void {
    this.#registers.clear();
    this.#buffer.fill(0);
    this.#pending = 0;
    this.#port.line(false);
  }

  #read(offset: number, width: number): bigint {
    const ones = (1n << BigInt(8 * width)) - 1n;
    if (width < 4) return 0n;
    if (!isAnswered(offset, width)) return ones;
    switch (offset) {
      case ID:
        return 0x0100_00edn;
      case IRQ_STATUS:
        return BigInt(this.#pending);
      case LIVENESS:
      case FACTORIAL:
      case STATUS:
      case DMA_SOURCE:
      case DMA_DESTINATION:
      case DMA_COUNT:
      case DMA_COMMAND:
        return this.#register(offset) & ones;
      default:
        return ones;
    }
  }

  #write(offset: number, width: number, value: bigint): void {
    if (!isAnswered(offset, width)) return;
    switch (offset) {
      case LIVENESS:
        this.#registers.set(offset, ~value & 0xffff_ffffn);
        return;
      case FACTORIAL:
        this.#registers.set(offset, factorial(value));
        if ((this.#register(STATUS) & BigInt(STATUS_IRQ_FACTORIAL)) !== 0n) {
          this.#raise(IRQ_FACTORIAL);
        }
        return;
      case STATUS:
        this.#registers.set(offset, value & BigInt(STATUS_IRQ_FACTORIAL));
        return;
      case IRQ_RAISE:
        this.#raise(Number(value));
        return;
      case IRQ_ACKNOWLEDGE:
        this.#acknowledge(Number(value));
        return;
      case DMA_SOURCE:
      case DMA_DESTINATION:
      case DMA_COUNT:
        this.#registers.set(offset, value);
        return;
      case DMA_COMMAND:
        if ((value & DMA_RUN) === 0n) return;
        this.#registers.set(offset, value & ~DMA_RUN);
        this.#transfer(value);
    }
  }

  #register(offset: number): bigint {
    return this.#registers.get(offset) ?? 0n;
  }

  #transfer(command: bigint): void {
    const source = this.#register(DMA_SOURCE);
    const destination = this.#register(DMA_DESTINATION);
    const count = Number(this.#register(DMA_COUNT));
    const fromDevice = (command & DMA_FROM_DEVICE) !== 0n;
    const bufferOffset = Number(
      (fromDevice ? source : destination) - BUFFER_BASE,
    );
    if (bufferOffset >= 0 && bufferOffset + count <= BUFFER_SIZE) {
      const bytes = this.#buffer.subarray(bufferOffset, bufferOffset + count);
      if (fromDevice) this.#port.dmaWrite(destination & DMA_MASK, bytes);
      else this.#port.dmaRead(source & DMA_MASK, bytes);
    }
    if ((command & DMA_IRQ) !== 0n) this.#raise(IRQ_DMA);
  }

  #raise(bits: number): void {
    this.#pending = (this.#pending | bits) >>> 0;
    if (this.#pending === 0) return;
    if (this.#port.sendsMessages) this.#port.interrupt(0);
    else this.#port.line(true);
  }

  // As in QEMU, the line does not change while messages are sent.
  #acknowledge(bits: number): void {
    this.#pending = (this.#pending & ~bits) >>> 0;
    if (this.#pending === 0 && !this.#port.sendsMessages) {
      this.#port.line(false);
    }
  }
}

/**
 * Whether a register answers an access: those below 0x80 have 32 bits, and
 * answer to that width only.
 */
function isAnswered(offset: number, width: number): boolean {
  return width === 4 || (width === 8 && offset >= 0x80);
}

function factorial(value: bigint): bigint {
  let product = 1n;
  for (let factor = value; factor > 1n; factor--) {
    product = product * factor & 0xffff_ffffn;
    if (product === 0n) break;
  }
  return product;
}
