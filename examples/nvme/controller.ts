/**
 * A minimal userspace NVMe driver: it starts a controller, identifies it, and
 * reads and writes blocks (NVM Express Base Specification 2.0, sections 3.1,
 * 3.5 and 5; NVM Command Set Specification 1.0).
 *
 * It polls for completions, and submits one command at a time.
 *
 * @module
 */
import type { DmaMemory, Registers, VfioDevice } from "../../mod.ts";
import { QueuePair } from "./queue.ts";

// Registers in BAR 0
const CAP = 0x00;
const CC = 0x14;
const CSTS = 0x1c;
const AQA = 0x24;
const ASQ = 0x28;
const ACQ = 0x30;

const CC_ENABLE = 1;
/** Commands of 2^6 bytes, completions of 2^4, pages of 4 KiB. */
const CC_SIZES = 6 << 16 | 4 << 20;
const CSTS_READY = 1;
const CSTS_FATAL = 2;

// Admin commands
const CREATE_SUBMISSION_QUEUE = 0x01;
const CREATE_COMPLETION_QUEUE = 0x05;
const IDENTIFY = 0x06;
const SET_FEATURES = 0x09;

const IDENTIFY_NAMESPACE = 0;
const IDENTIFY_CONTROLLER = 1;
const NUMBER_OF_QUEUES = 7;
const CONTIGUOUS = 1;

// I/O commands
const WRITE = 0x01;
const READ = 0x02;

/** How a controller identifies itself. */
export interface Identity {
  /** The model. */
  readonly model: string;
  /** The serial number. */
  readonly serial: string;
  /** The firmware's revision. */
  readonly firmware: string;
}

/** A namespace of a controller: a disk, or a part of one. */
export interface Namespace {
  /** Its number; the first is 1. */
  readonly id: number;
  /** Bytes in a block. */
  readonly blockSize: number;
}

/** A running controller. Disposing of it stops it. */
export class NvmeController implements AsyncDisposable {
  readonly #device: VfioDevice;
  readonly #admin: QueuePair;
  readonly #io: QueuePair;
  readonly #owned: AsyncDisposableStack;
  #ioCreated: Promise<void> | undefined;

  private constructor(
    device: VfioDevice,
    admin: QueuePair,
    io: QueuePair,
    owned: AsyncDisposableStack,
  ) {
    this.#device = device;
    this.#admin = admin;
    this.#io = io;
    this.#owned = owned;
  }

  /**
   * Resets a controller, and starts it with its admin queues in DMA memory.
   *
   * @param device The controller, attached.
   * @throws {Error} If it does not start within the time limit that it
   * announces.
   */
  static async start(device: VfioDevice): Promise<NvmeController> {
    await using stack = new AsyncDisposableStack();
    const bar = stack.use(device.region(0).map());
    if ((bar.read32(CAP + 4) >>> 16 & 0xf) !== 0) {
      throw new Error("The controller does not take pages of 4 KiB");
    }
    const admin = stack.use(new QueuePair(0, device.space, bar));
    const io = stack.use(new QueuePair(1, device.space, bar));
    await enable(bar, false);
    bar.write32(AQA, (admin.entries - 1) << 16 | admin.entries - 1);
    bar.write64(ASQ, admin.commands);
    bar.write64(ACQ, admin.completions);
    device.setBusMaster(true);
    // The controller must be stopped before its queues are freed.
    stack.defer(() => enable(bar, false));
    await enable(bar, true);
    return new NvmeController(device, admin, io, stack.move());
  }

  /** Identifies the controller. */
  async identify(): Promise<Identity> {
    const data = await this.#identify(IDENTIFY_CONTROLLER);
    const text = (start: number, end: number) =>
      new TextDecoder().decode(data.subarray(start, end)).trim();
    return {
      serial: text(4, 24),
      model: text(24, 64),
      firmware: text(64, 72),
    };
  }

  /**
   * Reads the block size of a namespace.
   *
   * @param id Its number.
   */
  async namespace(id: number): Promise<Namespace> {
    const data = await this.#identify(IDENTIFY_NAMESPACE, id);
    const format = 128 + 4 * (data[26]! & 0xf);
    return { id, blockSize: 2 ** data[format + 2]! };
  }

  /**
   * Writes one page of memory to a namespace.
   *
   * @param namespace The namespace.
   * @param block The first block, a number.
   * @param page A page of DMA memory.
   */
  async write(
    namespace: Namespace,
    block: number,
    page: DmaMemory,
  ): Promise<void> {
    await this.#transfer(WRITE, namespace, block, page);
  }

  /** Reads one page of a namespace into memory: see `write`. */
  async read(
    namespace: Namespace,
    block: number,
    page: DmaMemory,
  ): Promise<void> {
    await this.#transfer(READ, namespace, block, page);
  }

  /** Stops the controller and frees its queues. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  async #identify(what: number, namespace = 0): Promise<Uint8Array> {
    using memory = this.#device.space.allocate(4096);
    await this.#admin.run({
      opcode: IDENTIFY,
      namespace,
      data: memory.iova,
      dwords: [what],
    });
    return memory.bytes.slice();
  }

  async #transfer(
    opcode: number,
    { id, blockSize }: Namespace,
    block: number,
    { iova, size }: DmaMemory,
  ): Promise<void> {
    if (size !== 4096) throw new RangeError("Expected a page of 4096 bytes");
    await (this.#ioCreated ??= this.#createIoQueues());
    await this.#io.run({
      opcode,
      namespace: id,
      data: iova,
      dwords: [block, Math.floor(block / 2 ** 32), size / blockSize - 1],
    });
  }

  /** Creates the queues for reading and writing. */
  async #createIoQueues(): Promise<void> {
    const { id, entries, commands, completions } = this.#io;
    const size = (entries - 1) << 16 | id;
    await this.#admin.run({
      opcode: SET_FEATURES,
      dwords: [NUMBER_OF_QUEUES, 0], // one of each, as 0 means one
    });
    await this.#admin.run({
      opcode: CREATE_COMPLETION_QUEUE,
      data: completions,
      dwords: [size, CONTIGUOUS],
    });
    await this.#admin.run({
      opcode: CREATE_SUBMISSION_QUEUE,
      data: commands,
      dwords: [size, id << 16 | CONTIGUOUS],
    });
  }
}

/** Starts a controller, or stops it, and waits until it has. */
async function enable(bar: Registers, on: boolean): Promise<void> {
  bar.write32(CC, on ? CC_SIZES | CC_ENABLE : 0);
  const limit = 500 * (bar.read32(CAP) >>> 24); // CAP.TO
  const deadline = performance.now() + limit;
  for (;;) {
    const status = bar.read32(CSTS);
    if (((status & CSTS_READY) !== 0) === on) return;
    if (on && (status & CSTS_FATAL) !== 0) {
      throw new Error("The controller failed to start");
    }
    if (performance.now() > deadline) {
      throw new Error(
        `The controller did not ${on ? "start" : "stop"} in ${limit} ms`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
