/**
 * A queue for reading and writing, as a controller makes it.
 *
 * @module
 */
import type { QueuePair } from "./queue_pair.ts";
import type { Data, Requests } from "./requests.ts";
import type { Wait } from "./waiting.ts";

// I/O commands
export const FLUSH = 0x00;
export const WRITE = 0x01;
export const READ = 0x02;

/** How a queue is made. */
export interface QueueOptions {
  /**
   * How many commands can be under way.
   *
   * @default {32}
   */
  readonly depth?: number;
  /**
   * How it waits for them.
   *
   * @default {"poll"}
   */
  readonly wait?: Wait;
}

/** A queue for reading and writing. Disposing of it deletes it. */
export class IoQueue implements AsyncDisposable {
  readonly #requests: Requests;
  readonly #close: () => Promise<void>;
  /**
   * Its rings, for a loop that submits and polls by itself. Such a loop has the
   * queue to itself, and looks by `controller.check()` whether the controller
   * still works.
   */
  readonly pair: QueuePair;

  /** Made by `NvmeController.queue`. */
  constructor(pair: QueuePair, requests: Requests, close: () => Promise<void>) {
    this.pair = pair;
    this.#requests = requests;
    this.#close = close;
  }

  /**
   * Transfers blocks by one command.
   *
   * @param opcode {@linkcode READ} or {@linkcode WRITE}.
   * @param namespace The namespace's number.
   * @param block The first block.
   * @param blocks How many.
   * @param data Where they are in memory.
   * @throws What {@linkcode Requests.run} throws.
   */
  async transfer(
    opcode: number,
    namespace: number,
    block: number,
    blocks: number,
    data: Data,
  ): Promise<void> {
    const high = Math.floor(block / 2 ** 32);
    const dwords = [block, high, blocks - 1];
    await this.#requests.run({ opcode, namespace, dwords }, data);
  }

  /**
   * Has everything written that was written before.
   *
   * @param namespace The namespace's number.
   */
  async flush(namespace: number): Promise<void> {
    await this.#requests.run({ opcode: FLUSH, namespace });
  }

  /** Deletes it. Commands under way end with `CLOSED`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}
