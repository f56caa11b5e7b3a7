/**
 * NVMe queues in DMA memory: commands go to the controller through one ring,
 * and their completions come back through another (NVM Express Base
 * Specification 2.0, section 3.3).
 *
 * @module
 */
import type { AddressSpace, DmaMemory, Registers } from "../../mod.ts";

/** Each ring begins a page. */
const PAGE = 4096;

/** Bytes of a command, and of its completion. */
const COMMAND_SIZE = 64;
const COMPLETION_SIZE = 16;

/** Registers in BAR 0: the capabilities' upper half, and the doorbells. */
const CAP_HIGH = 0x04;
const DOORBELLS = 0x1000;

/** How long a command may take, in milliseconds. */
const TIME_LIMIT = 30_000;

/** The parts of a command that are needed here. */
export interface Command {
  /** The kind of command. */
  readonly opcode: number;
  /** The namespace it is about. */
  readonly namespace?: number;
  /** The IOVA of its data, a page at most. */
  readonly data?: bigint;
  /** Command dwords 10 to 12. Their meaning depends on the command. */
  readonly dwords?: readonly number[];
}

/** A submission and a completion queue, used for one command at a time. */
export class QueuePair implements Disposable {
  readonly #bar: Registers;
  readonly #memory: DmaMemory;
  /** Bytes from one doorbell to the next. */
  readonly #stride: number;
  /** The slot of the next command, and of its completion. */
  #slot = 0;
  /** The phase bit of a new completion. It flips when the ring starts over. */
  #phase = 1;
  #lastId = 0;
  /** The queues' number; 0 is that of the admin queues. */
  readonly id: number;
  /** Slots in each ring. */
  readonly entries = 16;

  /**
   * Allocates the rings.
   *
   * @param id The queues' number.
   * @param space The controller's address space.
   * @param bar Its BAR 0.
   */
  constructor(id: number, space: AddressSpace, bar: Registers) {
    this.id = id;
    this.#bar = bar;
    this.#memory = space.allocate(2 * PAGE);
    this.#stride = 4 << (bar.read32(CAP_HIGH) & 0xf);
  }

  /** The IOVA of the submission queue. */
  get commands(): bigint {
    return this.#memory.iova;
  }

  /** The IOVA of the completion queue. */
  get completions(): bigint {
    return this.#memory.iova + BigInt(PAGE);
  }

  /**
   * Has the controller carry out a command.
   *
   * @param command The command.
   * @throws {Error} If the controller refuses it, or does not answer.
   */
  async run(command: Command): Promise<void> {
    const id = this.#submit(command);
    const answer = await this.#answer();
    const name = `command 0x${command.opcode.toString(16)}`;
    if (answer === undefined) throw new Error(`No answer to ${name}`);
    if (answer.id !== id) throw new Error(`Expected the answer to ${name}`);
    if (answer.status === 0) return;
    throw new Error(`${name} failed: status 0x${answer.status.toString(16)}`);
  }

  /** Frees the rings. The controller must not use them any more. */
  [Symbol.dispose](): void {
    this.#memory.free();
  }

  /** Puts a command into the ring, and returns its id. */
  #submit({ opcode, namespace = 0, data = 0n, dwords = [] }: Command): number {
    const id = this.#lastId = (this.#lastId + 1) & 0xffff;
    const at = this.#slot * COMMAND_SIZE;
    this.#memory.bytes.fill(0, at, at + COMMAND_SIZE);
    const slot = new DataView(this.#memory.buffer, at, COMMAND_SIZE);
    slot.setUint32(0, opcode | id << 16, true);
    slot.setUint32(4, namespace, true);
    slot.setBigUint64(24, data, true);
    for (const [i, dword] of dwords.entries()) {
      slot.setUint32(40 + 4 * i, dword, true);
    }
    this.#ring("commands", (this.#slot + 1) % this.entries);
    return id;
  }

  /** Waits for a completion and takes it out of the ring. */
  async #answer(): Promise<{ id: number; status: number } | undefined> {
    const at = PAGE + this.#slot * COMPLETION_SIZE;
    const slot = new Uint32Array(this.#memory.buffer, at, COMPLETION_SIZE / 4);
    const deadline = performance.now() + TIME_LIMIT;
    let last: number;
    // A changed phase bit in the last dword announces a completion.
    while (((last = Atomics.load(slot, 3)) >>> 16 & 1) !== this.#phase) {
      if (performance.now() > deadline) return undefined;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    this.#slot = (this.#slot + 1) % this.entries;
    if (this.#slot === 0) this.#phase ^= 1;
    this.#ring("completions", this.#slot);
    return { id: last & 0xffff, status: last >>> 17 };
  }

  /**
   * Rings the doorbell: tells the controller how far a ring is filled, or
   * emptied.
   */
  #ring(which: "commands" | "completions", slot: number): void {
    const doorbell = 2 * this.id + (which === "commands" ? 0 : 1);
    this.#bar.write32(DOORBELLS + doorbell * this.#stride, slot);
  }
}
