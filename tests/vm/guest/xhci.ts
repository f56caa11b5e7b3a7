/**
 * As much of a driver for USB controllers (xHCI 1.1) as has a controller send
 * messages by whichever of its interrupters.
 *
 * @module
 */
import type {
  AddressSpace,
  MappedRegisters,
  VfioDevice,
} from "../../../mod.ts";

/** The interrupters that are set up. */
const INTERRUPTERS = 16;

// Operational registers
const COMMAND = 0x00;
const RUN = 1;
const RESET = 2;
const INTERRUPTS = 4;
const COMMAND_RING = 0x18;
const CONTEXTS = 0x30;
const CONFIG = 0x38;
const PORTS = 0x400;
const PORT_BYTES = 16;
const PORT_CONNECTED = 1;
const PORT_RESET = 1 << 4;
const PORT_POWER = 1 << 9;

// Registers of an interrupter
const MANAGEMENT = 0x00;
const MANAGEMENT_ENABLED = 2;
const TABLE_SIZE = 0x08;
const TABLE = 0x10;
const DEQUEUE = 0x18;
const HANDLER_BUSY = 8;

// Transfer request blocks, of 16 bytes
const TRB = 16;
const CYCLE = 1;
const SETUP_STAGE = 2 << 10 | 3 << 16 | 1 << 6; // data in, immediate
const DATA_STAGE = 3 << 10 | 1 << 16; // in
const STATUS_STAGE = 4 << 10 | 1 << 5; // interrupt on completion
const ENABLE_SLOT = 9 << 10;
const ADDRESS_DEVICE = 11 << 10;
const SUCCESS = 1;

// Where what is in memory, a page each
const PAGE = 4096;
const DEVICE_CONTEXTS = 0;
const COMMANDS = 1 * PAGE;
const TRANSFERS = 2 * PAGE;
const INPUT_CONTEXT = 3 * PAGE;
const OUTPUT_CONTEXT = 4 * PAGE;
const SEGMENTS = 5 * PAGE;
const BUFFER = 6 * PAGE;
const EVENTS = 7 * PAGE;
const EVENTS_BYTES = 1024;

/** A controller that runs, with a device at its first connected port. */
export class Xhci implements Disposable {
  readonly #registers: MappedRegisters;
  readonly #operational: number;
  readonly #runtime: number;
  readonly #doorbells: number;
  readonly #memory;
  readonly #words: DataView;
  #commands = 0;
  #transfers = 0;
  readonly #events: number[] = Array(INTERRUPTERS).fill(0);
  #slot = 0;

  /**
   * Resets and starts the controller.
   *
   * @param device The device, attached.
   * @param space Its address space.
   */
  constructor(device: VfioDevice, space: AddressSpace) {
    const registers = this.#registers = device.region(0).map();
    this.#operational = registers.read32(0) & 0xff;
    this.#doorbells = registers.read32(0x14);
    this.#runtime = registers.read32(0x18);
    this.#memory = space.allocate(EVENTS + INTERRUPTERS * EVENTS_BYTES);
    const { bytes } = this.#memory;
    this.#words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    device.setBusMaster(true);

    this.#write(COMMAND, RESET);
    this.#write(CONFIG, registers.read32(4) & 0xff);
    this.#write64(this.#operational + CONTEXTS, this.#at(DEVICE_CONTEXTS));
    this.#write64(
      this.#operational + COMMAND_RING,
      this.#at(COMMANDS) | BigInt(CYCLE),
    );
    for (let i = 0; i < INTERRUPTERS; i++) {
      const segment = SEGMENTS + i * 64;
      const events = this.#at(EVENTS + i * EVENTS_BYTES);
      this.#words.setBigUint64(segment, events, true);
      this.#words.setUint32(segment + 8, EVENTS_BYTES / TRB, true);
      const base = this.#interrupter(i);
      registers.write32(base + TABLE_SIZE, 1);
      this.#write64(base + DEQUEUE, events);
      this.#write64(base + TABLE, this.#at(segment));
      registers.write32(base + MANAGEMENT, MANAGEMENT_ENABLED);
    }
    this.#write(COMMAND, RUN | INTERRUPTS);
  }

  /**
   * Finds the device behind the first connected port, and gives it an address.
   * Each command's completion is an event of interrupter 0.
   *
   * @param completed Waits for an interrupt of interrupter 0.
   */
  async connect(completed: () => Promise<unknown>): Promise<void> {
    const ports = this.#registers.read32(4) >>> 24;
    const status = (port: number) =>
      this.#registers.read32(this.#operational + PORTS + port * PORT_BYTES);
    const port = Array.from({ length: ports }, (_, port) => port)
      .findIndex((port) => (status(port) & PORT_CONNECTED) !== 0);
    if (port < 0) throw new Error("Nothing is connected to the controller");
    this.#write(PORTS + port * PORT_BYTES, PORT_POWER | PORT_RESET);
    const speed = status(port) >> 10 & 15;
    // The port's change is an event, too.
    await completed();
    this.events(0);
    this.#slot = await this.#command(0n, ENABLE_SLOT, completed) >>> 24;
    const context = INPUT_CONTEXT;
    const set = (offset: number, value: number) =>
      this.#words.setUint32(context + offset, value, true);
    set(0x04, 0b11); // the slot, and its endpoint 0
    set(0x20, 1 << 27 | speed << 20);
    set(0x24, port + 1 << 16);
    set(0x44, 64 << 16 | 4 << 3 | 3 << 1); // packets of 64 bytes, control
    const ring = this.#at(TRANSFERS) | BigInt(CYCLE);
    this.#words.setBigUint64(context + 0x48, ring, true);
    set(0x50, 8);
    this.#words.setBigUint64(
      DEVICE_CONTEXTS + this.#slot * 8,
      this.#at(OUTPUT_CONTEXT),
      true,
    );
    const address = ADDRESS_DEVICE | this.#slot << 24;
    await this.#command(this.#at(INPUT_CONTEXT), address, completed);
  }

  /**
   * Has the controller read the device's descriptor.
   *
   * @param interrupter The interrupter that is to tell of the end.
   */
  readDescriptor(interrupter: number): void {
    const target = interrupter << 22;
    const request = 0x0012_0000_0100_0680n; // GET_DESCRIPTOR, of the device
    this.#transfer(request, 8 | target, SETUP_STAGE);
    this.#transfer(this.#at(BUFFER), 18 | target, DATA_STAGE);
    this.#transfer(0n, target, STATUS_STAGE);
    this.#registers.write32(this.#doorbells + this.#slot * 4, 1);
  }

  /** The descriptor that was read. */
  get descriptor(): Uint8Array {
    return this.#memory.bytes.slice(BUFFER, BUFFER + 18);
  }

  /**
   * Takes the events of an interrupter, which then sends a message for the next.
   *
   * @param interrupter Which.
   * @returns The last word of each event.
   */
  events(interrupter: number): number[] {
    const found: number[] = [];
    const base = EVENTS + interrupter * EVENTS_BYTES;
    let at = this.#events[interrupter]!;
    while ((this.#words.getUint32(base + at + 12, true) & CYCLE) !== 0) {
      const code = this.#words.getUint32(base + at + 8, true) >>> 24;
      if (code !== SUCCESS) throw new Error(`A TRB ended with ${code}`);
      found.push(this.#words.getUint32(base + at + 12, true));
      at += TRB;
    }
    this.#events[interrupter] = at;
    this.#write64(
      this.#interrupter(interrupter) + DEQUEUE,
      this.#at(base + at) | BigInt(HANDLER_BUSY),
    );
    return found;
  }

  /** Stops the controller. */
  [Symbol.dispose](): void {
    this.#write(COMMAND, RESET);
    this.#registers.unmap();
    this.#memory[Symbol.dispose]();
  }

  async #command(
    parameter: bigint,
    control: number,
    completed: () => Promise<unknown>,
  ): Promise<number> {
    this.#put(COMMANDS + this.#commands, parameter, 0, control);
    this.#commands += TRB;
    this.#registers.write32(this.#doorbells, 0);
    await completed();
    return this.events(0).at(-1)!;
  }

  #transfer(parameter: bigint, status: number, control: number): void {
    this.#put(TRANSFERS + this.#transfers, parameter, status, control);
    this.#transfers += TRB;
  }

  #put(at: number, parameter: bigint, status: number, control: number): void {
    this.#words.setBigUint64(at, parameter, true);
    this.#words.setUint32(at + 8, status, true);
    this.#words.setUint32(at + 12, control | CYCLE, true);
  }

  #at(offset: number): bigint {
    return this.#memory.iova + BigInt(offset);
  }

  #interrupter(index: number): number {
    return this.#runtime + 0x20 + index * 32;
  }

  #write(offset: number, value: number): void {
    this.#registers.write32(this.#operational + offset, value);
  }

  // The controller takes 64 bits as two halves, the lower one first.
  #write64(offset: number, value: bigint): void {
    this.#registers.write32(offset, Number(value & 0xffff_ffffn));
    this.#registers.write32(offset + 4, Number(value >> 32n));
  }
}
