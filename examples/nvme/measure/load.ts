/**
 * Keeps a namespace busy for some time, as fio does.
 *
 * @module
 */
import type { AddressSpace } from "../../../mod.ts";
import type { BlockDevice } from "../block_device.ts";
import { commandFailed } from "../error.ts";
import { READ, WRITE } from "../io_queue.ts";
import { Histogram } from "./histogram.ts";

/** How it is kept busy. */
export interface Load {
  /** `"read"`, `"write"`, `"randread"` or `"randwrite"`. */
  readonly rw: string;
  /** Bytes in a command: whole blocks. */
  readonly bs: number;
  /** How many commands are under way. */
  readonly iodepth: number;
  /** For how long, in seconds. */
  readonly runtime: number;
  /** For how long before that, which is not counted, in seconds. */
  readonly ramp: number;
}

/** What was measured. */
export interface Measured {
  /** How many commands. */
  readonly commands: number;
  /** In how many nanoseconds. */
  readonly time: number;
  /** From before a command was submitted until it was taken out. */
  readonly latency: Histogram;
}

/** What must be known of a controller. */
interface Checked {
  /** The controller's address. */
  readonly name: string;
  /** Throws if it is gone. */
  check(): unknown;
}

/** How often a loop looks before it checks that the controller is there. */
const LOOKS = 10_000_000;

/** After so many commands the controller is told of them, while more are made. */
const RING = 16;

/** Which blocks the commands are about. */
class Blocks {
  readonly #isRandom: boolean;
  readonly #perCommand: number;
  readonly #commands: number;
  #state = 0x2545_f491;
  #next = 0;

  constructor(isRandom: boolean, blocks: number, perCommand: number) {
    this.#isRandom = isRandom;
    this.#perCommand = perCommand;
    this.#commands = Math.min(2 ** 31, Math.floor(blocks / perCommand));
  }

  /** Returns the first block of the next command. */
  next(): number {
    if (!this.#isRandom) {
      const next = this.#next;
      this.#next = next + 1 === this.#commands ? 0 : next + 1;
      return next * this.#perCommand;
    }
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return ((state >>> 1) % this.#commands) * this.#perCommand;
  }
}

/**
 * Measures by a loop that polls. It makes no promise, allocates nothing for a
 * command, and does nothing else meanwhile: the event loop stands still.
 *
 * @param controller The controller, which is checked now and then.
 * @param space Its address space.
 * @param disk A namespace, with a queue that nobody else uses.
 * @param load How it is kept busy.
 * @throws {NvmeError} `COMMAND_FAILED`, `PROTOCOL`.
 * @throws {VfioError} `DEVICE_LOST`.
 */
export function measurePolled(
  controller: Checked,
  space: AddressSpace,
  disk: BlockDevice,
  load: Load,
): Measured {
  const { pair } = disk.queue;
  const { id: namespace, blockSize } = disk.namespace;
  const isRandom = load.rw.startsWith("rand");
  const opcode = load.rw.endsWith("write") ? WRITE : READ;
  const perCommand = load.bs / blockSize;
  const blocks = new Blocks(isRandom, disk.blocks, perCommand);
  using memory = space.allocate(load.iodepth * load.bs);
  const iova = Number(memory.iova);
  const begun = new Float64Array(pair.depth);
  let latency = new Histogram();
  let now = performance.now();
  let start = now;
  let end = now + 1000 * load.ramp;
  let isRamp = true;
  let commands = 0;
  let underWay = 0;
  for (let i = 0; i < load.iodepth; i++) {
    const id = pair.take();
    pair.bind(id, iova + i * load.bs, load.bs);
    pair.submit(id, opcode, namespace, blocks.next(), perCommand - 1);
    begun[id] = now;
    underWay++;
  }
  while (underWay > 0) {
    pair.ring();
    while (!pair.spin(LOOKS)) controller.check();
    const count = pair.reap();
    // One stamp for all: asking for the time takes longer than a command.
    now = performance.now();
    commands += count;
    underWay -= count;
    const isOver = now >= end && !isRamp;
    // Those that were submitted at once are counted at once.
    let since = now;
    let alike = 0;
    for (let i = 0; i < count; i++) {
      const id = pair.completed(i);
      const status = pair.status(id);
      if (status !== 0) throw commandFailed(controller.name, opcode, status);
      if (begun[id] === since) alike++;
      else {
        if (alike > 0) latency.add((now - since) * 1e6, alike);
        since = begun[id]!;
        alike = 1;
      }
      if (isOver) {
        pair.give(id);
        continue;
      }
      begun[id] = now;
      pair.submit(id, opcode, namespace, blocks.next(), perCommand - 1);
      underWay++;
      if (i % RING === RING - 1) pair.ring();
    }
    latency.add((now - since) * 1e6, alike);
    if (isRamp && now >= end) {
      isRamp = false;
      latency = new Histogram();
      commands = 0;
      start = now;
      end = now + 1000 * load.runtime;
    }
  }
  return { commands, latency, time: (now - start) * 1e6 };
}

/**
 * Measures by promises, with a queue that waits in any way: what a program sees
 * that does other things, too.
 */
export async function measureAwaited(
  space: AddressSpace,
  disk: BlockDevice,
  load: Load,
): Promise<Measured> {
  const perCommand = load.bs / disk.blockSize;
  const isRandom = load.rw.startsWith("rand");
  const writes = load.rw.endsWith("write");
  const blocks = new Blocks(isRandom, disk.blocks, perCommand);
  using memory = space.allocate(load.iodepth * load.bs);
  let latency = new Histogram();
  let commands = 0;
  let start = performance.now() + 1000 * load.ramp;
  let isRamp = true;
  const end = start + 1000 * load.runtime;
  const one = async (index: number) => {
    const part = memory.slice(index * load.bs, load.bs);
    for (let now = performance.now(); now < end;) {
      const block = blocks.next();
      if (writes) await disk.write(block, part);
      else await disk.read(block, part);
      const before = now;
      now = performance.now();
      if (isRamp && now >= start) {
        isRamp = false;
        latency = new Histogram();
        commands = 0;
        start = now;
      }
      commands++;
      latency.add((now - before) * 1e6);
    }
  };
  await Promise.all(Array.from({ length: load.iodepth }, (_, i) => one(i)));
  return { commands, latency, time: (performance.now() - start) * 1e6 };
}
