/**
 * Measures what the NVMe driver of `examples/` itself takes for a command, over
 * rings in plain memory: the C program does the same, store by store.
 *
 * @module
 */
import { Doorbells } from "../../examples/nvme/doorbells.ts";
import { READ } from "../../examples/nvme/io_queue.ts";
import { QueuePair } from "../../examples/nvme/queue_pair.ts";
import { queueBytes } from "../../examples/nvme/queue_shape.ts";
import { DOORBELLS } from "../../examples/nvme/registers.ts";
import { AddressSpace, Host } from "../../mod.ts";
import { MappedRegisters } from "../../lib/device/regions/mapped_registers.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import { compare, type Comparison, timed } from "./compare.ts";
import { Peer } from "./peer.ts";

/** As in `peer/rings.c`. */
const ENTRIES = 512;
const COMPLETIONS = 1024;
const DEPTHS = [1, 32, 256];

/**
 * Commands in a round. It is short, as most rounds are then not disturbed by
 * other work of the machine.
 */
const TIMES = 6400;
const WARM_UP = 400 * TIMES;

const RINGS = {
  target: 1.5,
  holds: "With one command at once the turn is all that there is: about 500 " +
    "instructions, C's 149. For each of a dozen arrays it checks the shape and " +
    "loads the length and the address, which many commands at once share.",
};

/** A stand-in for the controller: it completes what was submitted. */
class StandIn {
  readonly #commands: Int32Array;
  readonly #completions: Int32Array;
  readonly #doorbells: Int32Array;
  #head = 0;
  #tail = 0;
  #phase = 0x1_0000;

  constructor(
    commands: Int32Array,
    completions: Int32Array,
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
    let head = this.#head;
    let tail = this.#tail;
    let phase = this.#phase;
    while (head !== until) {
      completions[tail << 2 | 3] = commands[head << 4]! >>> 16 | phase;
      head = head + 1 | 0;
      if (head === ENTRIES) head = 0;
      tail = tail + 1 | 0;
      if (tail === COMPLETIONS) {
        tail = 0;
        phase ^= 0x1_0000;
      }
    }
    this.#head = head;
    this.#tail = tail;
    this.#phase = phase;
  }
}

/** Keeps a number of commands under way. */
class Loop {
  readonly #pair: QueuePair;
  readonly #controller: StandIn;
  #count: number;
  #block = 1;

  constructor(pair: QueuePair, controller: StandIn, depth: number) {
    this.#pair = pair;
    this.#controller = controller;
    this.#count = depth;
    for (let id = 0; id < depth; id++) pair.completed[id] = id;
  }

  /** Submits, and takes out what is completed, until so many are. */
  run(times: number): void {
    const pair = this.#pair;
    const controller = this.#controller;
    const { completed } = pair;
    let count = this.#count;
    let block = this.#block;
    for (let done = 0; done < times; done += count) {
      for (let i = 0; i < count; i++) {
        block = block * 5 + 1 & 0xffff;
        pair.submit(completed[i]!, READ, 1, block, 0);
      }
      pair.ring();
      controller.answer();
      count = pair.reap();
    }
    this.#block = block;
    this.#count = count;
  }
}

/**
 * Measures the driver's own part of a command.
 *
 * @param program The C program.
 * @param rounds How many rounds there are.
 */
export async function* measureRings(
  program: string,
  rounds: number,
): AsyncGenerator<Comparison> {
  const kernel = new LibcKernel();
  await using peer = new Peer(program);
  await using space = new AddressSpace({ host: new Host({ kernel }) });
  const bar = kernel.mmap(
    2 * DOORBELLS,
    PROT_READ | PROT_WRITE,
    MAP_SHARED | MAP_ANONYMOUS,
    -1,
    0n,
  );
  using registers = new MappedRegisters(
    "memory",
    bar,
    () => kernel.munmap(bar),
  );
  for (const depth of DEPTHS) {
    const doorbells = new Doorbells({ bar: registers, stride: 4 });
    // The queue is number 0, so that its doorbells are the first.
    const sizes = { entries: ENTRIES, completions: COMPLETIONS, lists: true };
    const memory = space.allocate(queueBytes(sizes));
    using pair = new QueuePair(0, "memory", memory, doorbells, sizes);
    for (let id = 0; id < depth; id++) pair.bind(id, 4096 * id, 4096);
    const { commands, completions } = pair.words;
    const doorbell = new Int32Array(bar.buffer, DOORBELLS, 2);
    const loop = new Loop(
      pair,
      new StandIn(commands, completions, doorbell),
      depth,
    );
    const what = `an NVMe command over rings in memory, ${depth} at once`;
    yield await compare(
      { what, ...RINGS, warmUp: WARM_UP, times: TIMES, rounds },
      {
        ts: timed((times) => loop.run(times)),
        c: peer.contestant("rings", depth),
      },
    );
  }
}
