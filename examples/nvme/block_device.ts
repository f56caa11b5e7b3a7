import type { AddressSpace, DmaMemory, DmaSlice } from "../../mod.ts";
import type { Namespace } from "./identity.ts";
import { type IoQueue, READ, WRITE } from "./io_queue.ts";

/** The most bytes of a stream that are under way. */
const STREAM_BYTES = 1 << 20;

/** Where blocks are read into, or written from. */
export type Blocks = DmaMemory | DmaSlice | Uint8Array;

/**
 * A namespace, read and written in blocks. A length is of any number of blocks:
 * what is more than the controller takes at once becomes several commands, all
 * under way together.
 *
 * DMA memory is transferred as it is, and bytes of any other kind through a copy.
 * Disposing of it deletes its queue.
 */
export class BlockDevice implements AsyncDisposable {
  readonly #space: AddressSpace;
  readonly #queue: IoQueue;
  readonly #maxTransfer: number;
  /** What it is. */
  readonly namespace: Namespace;

  /** Made by `NvmeController.open`. */
  constructor(
    space: AddressSpace,
    namespace: Namespace,
    queue: IoQueue,
    maxTransfer: number,
  ) {
    this.#space = space;
    this.namespace = namespace;
    this.#queue = queue;
    this.#maxTransfer = maxTransfer - maxTransfer % namespace.blockSize;
  }

  /** The queue, for a loop that polls by itself. */
  get queue(): IoQueue {
    return this.#queue;
  }

  /** Bytes in a block. */
  get blockSize(): number {
    return this.namespace.blockSize;
  }

  /** How many blocks there are. */
  get blocks(): number {
    return this.namespace.blocks;
  }

  /**
   * Reads blocks.
   *
   * @param block The first one.
   * @param into Where they go: whole blocks.
   * @throws {RangeError} If they are not whole blocks of the namespace.
   * @throws {NvmeError} `COMMAND_FAILED`, `TIMED_OUT`, `RESET`, `CLOSED`.
   * @throws {VfioError} `DEVICE_LOST`.
   */
  async read(block: number, into: Blocks): Promise<void> {
    if (!(into instanceof Uint8Array)) {
      return await this.#transfer(READ, block, into);
    }
    this.#assertBlocks(block, into.length);
    using copy = this.#space.allocate(into.length);
    const blocks = copy.slice(0, into.length);
    await this.#transfer(READ, block, blocks);
    into.set(blocks.bytes);
  }

  /** Writes blocks: as {@linkcode BlockDevice.read}. */
  async write(block: number, from: Blocks): Promise<void> {
    if (!(from instanceof Uint8Array)) {
      return await this.#transfer(WRITE, block, from);
    }
    this.#assertBlocks(block, from.length);
    using copy = this.#space.allocate(from.length);
    const blocks = copy.slice(0, from.length);
    blocks.bytes.set(from);
    await this.#transfer(WRITE, block, blocks);
  }

  /** Has the drive write what it caches. */
  async flush(): Promise<void> {
    await this.#queue.flush(this.namespace.id);
  }

  /**
   * Reads blocks as a stream.
   *
   * @param block The first one.
   * @param blocks How many. Default: all that follow.
   */
  readable(
    block = 0,
    blocks: number = this.blocks - block,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const most = Math.floor(STREAM_BYTES / this.blockSize);
    const end = block + blocks;
    let next = block;
    return new ReadableStream({
      pull: async (controller) => {
        const count = Math.min(most, end - next);
        if (count > 0) {
          const bytes = new Uint8Array(count * this.blockSize);
          await this.read(next, bytes);
          next += count;
          controller.enqueue(bytes);
        }
        if (next >= end) controller.close();
      },
    }, { highWaterMark: 1 });
  }

  /**
   * Writes a stream of bytes to blocks, and flushes at its end. The rest of the
   * last block becomes zeros.
   *
   * @param block The first one.
   */
  writable(block = 0): WritableStream<Uint8Array> {
    const most = STREAM_BYTES - STREAM_BYTES % this.blockSize;
    const buffer = new Uint8Array(most);
    let filled = 0;
    let next = block;
    const write = async () => {
      const size = Math.ceil(filled / this.blockSize) * this.blockSize;
      buffer.fill(0, filled, size);
      await this.write(next, buffer.subarray(0, size));
      next += size / this.blockSize;
      filled = 0;
    };
    return new WritableStream({
      write: async (chunk) => {
        for (let at = 0; at < chunk.length;) {
          const part = chunk.subarray(at, at + most - filled);
          buffer.set(part, filled);
          filled += part.length;
          at += part.length;
          if (filled === most) await write();
        }
      },
      close: async () => {
        if (filled > 0) await write();
        await this.flush();
      },
    });
  }

  /** Deletes its queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
  }

  async #transfer(
    opcode: number,
    block: number,
    memory: DmaMemory | DmaSlice,
  ): Promise<void> {
    const { size } = memory;
    this.#assertBlocks(block, size);
    const { blockSize, id } = this.namespace;
    const iova = Number(memory.iova);
    const commands: Promise<void>[] = [];
    for (let at = 0; at < size; at += this.#maxTransfer) {
      const bytes = Math.min(this.#maxTransfer, size - at);
      const first = block + at / blockSize;
      const data = { iova: iova + at, bytes };
      const count = bytes / blockSize;
      commands.push(this.#queue.transfer(opcode, id, first, count, data));
    }
    // All are over before the memory can be used for anything else.
    for (const result of await Promise.allSettled(commands)) {
      if (result.status === "rejected") throw result.reason;
    }
  }

  #assertBlocks(block: number, bytes: number): void {
    const { blockSize, blocks } = this.namespace;
    const count = bytes / blockSize;
    const isInside = Number.isInteger(block) && Number.isInteger(count) &&
      block >= 0 && count > 0 && block + count <= blocks;
    if (isInside) return;
    throw new RangeError(
      `Cannot transfer ${bytes} bytes at block ${block}: expected blocks of ` +
        `${blockSize} bytes within ${blocks}`,
    );
  }
}
