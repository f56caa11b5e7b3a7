/**
 * The NVMe driver of `examples/` over rings in plain memory, with a stand-in for
 * the controller.
 *
 * @module
 */
import { Doorbells } from "../../examples/nvme/doorbells.ts";
import { READ as OPCODE } from "../../examples/nvme/io_queue.ts";
import { QueuePair } from "../../examples/nvme/queue_pair.ts";
import { queueBytes } from "../../examples/nvme/queue_shape.ts";
import { DOORBELLS } from "../../examples/nvme/registers.ts";
import { MappedRegisters } from "../../lib/device/regions/mapped_registers.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import { AddressSpace, Host } from "../../mod.ts";

const READ = OPCODE;
/** As in `peer/rings.c`. */
const ENTRIES = 512;
const COMPLETIONS = 1024;

/** A stand-in for the controller: it completes what was submitted. */
class StandIn {
  readonly #commands: Int32Array;
  readonly #completions: Int32Array;
  readonly #doorbells: Int32Array;
  /** How many commands it has completed. */
  #count = 0;

  constructor(
    { commands, completions }: QueuePair["words"],
    doorbells: Int32Array,
  ) {
    this.#commands = commands;
    this.#completions = completions;
    this.#doorbells = doorbells;
  }

  answer(): void {
    const commands = this.#commands;
    const completions = this.#completions;
    const until = this.#doorbells[0]!;
    let count = this.#count;
    while ((count & ENTRIES - 1) !== until) {
      const id = commands[(count & ENTRIES - 1) << 4]! >>> 16;
      const phase = ~count & COMPLETIONS ? 0x1_0000 : 0;
      completions[(count & COMPLETIONS - 1) << 2 | 3] = id | phase;
      count = count + 1 | 0;
    }
    this.#count = count;
  }
}

/** Keeps a number of commands under way. */
export class Loop implements Disposable {
  readonly #pair: QueuePair;
  readonly #controller: StandIn;
  #count: number;
  #block = 1;

  constructor(pair: QueuePair, controller: StandIn, depth: number) {
    this.#pair = pair;
    this.#controller = controller;
    for (let id = 0; id < depth; id++) pair.submit(id, READ, 1, 0, 0);
    pair.ring();
    controller.answer();
    this.#count = pair.reap();
  }

  /** Submits, and takes out what is completed, until so many are. */
  run(times: number): void {
    const pair = this.#pair;
    const controller = this.#controller;
    let count = this.#count;
    let block = this.#block;
    for (let done = 0; done < times; done += count) {
      for (let i = 0; i < count; i++) {
        block = block * 5 + 1 & 0xffff;
        pair.submit(pair.completed(i), READ, 1, block, 0);
      }
      pair.ring();
      controller.answer();
      count = pair.reap();
    }
    this.#block = block;
    this.#count = count;
  }

  /** Frees the rings. */
  [Symbol.dispose](): void {
    this.#pair[Symbol.dispose]();
  }
}

/** Memory in place of the controller's registers, and of the rings. */
export class RingMemory implements AsyncDisposable {
  readonly #space: AddressSpace;
  readonly #doorbells: Int32Array;
  readonly #registers: MappedRegisters;

  constructor() {
    const kernel = new LibcKernel();
    const bar = kernel.mmap(
      2 * DOORBELLS,
      PROT_READ | PROT_WRITE,
      MAP_SHARED | MAP_ANONYMOUS,
      -1,
      0n,
    );
    this.#space = new AddressSpace({ host: new Host({ kernel }) });
    this.#doorbells = new Int32Array(bar.buffer, DOORBELLS, 2);
    this.#registers = new MappedRegisters(
      "memory",
      bar,
      () => kernel.munmap(bar),
    );
  }

  /** Makes a loop that keeps so many commands under way. */
  loop(depth: number): Loop {
    const doorbells = new Doorbells({ bar: this.#registers, stride: 4 });
    const sizes = { entries: ENTRIES, completions: COMPLETIONS, lists: true };
    const memory = this.#space.allocate(queueBytes(sizes));
    // The queue is number 0, so that its doorbells are the first.
    const pair = new QueuePair(0, "memory", memory, doorbells, sizes);
    for (let id = 0; id < depth; id++) pair.bind(id, 4096 * id, 4096);
    const controller = new StandIn(pair.words, this.#doorbells);
    return new Loop(pair, controller, depth);
  }

  /** Frees all of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#space[Symbol.asyncDispose]();
    this.#registers.unmap();
  }
}
