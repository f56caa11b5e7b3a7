/**
 * Makes a controller's queues, and makes them again after a reset.
 *
 * @module
 */
import type { IrqVector, VfioDevice } from "../../mod.ts";
import type { Admin } from "./admin.ts";
import type { Doorbells } from "./doorbells.ts";
import { NvmeError } from "./error.ts";
import { IoQueue, type QueueOptions } from "./io_queue.ts";
import { QueuePair } from "./queue_pair.ts";
import { PAGE, queueBytes } from "./queue_shape.ts";
import type { Requests } from "./requests.ts";
import { type Awaited, makeWaiter, type Wait, type Waiter } from "./waiting.ts";
import type { Watchdog, Watched } from "./watchdog.ts";

/** What queues are made of. */
export interface QueueParts {
  /** The controller. */
  readonly device: VfioDevice;
  /** The most slots in a ring. */
  readonly maxEntries: number;
  /** Its doorbells. */
  readonly doorbells: Doorbells;
  /** Whether doorbells are in memory where it offers that. */
  readonly shadowDoorbells: boolean;
  /** Its admin commands. */
  readonly admin: Admin;
  /** Its interrupts. */
  readonly vectors: readonly IrqVector[];
  /** Looks after the queues. */
  readonly watchdog: Watchdog;
  /** Makes the commands of a queue. */
  requests(pair: QueuePair, waiter: (awaited: Awaited) => Waiter): Requests;
}

/** A queue that was made. */
interface MadeQueue extends Watched {
  readonly pair: QueuePair;
  readonly vector: number | undefined;
}

/** The queues of a controller. */
export class Queues {
  readonly #parts: QueueParts;
  readonly #made = new Map<number, MadeQueue>();
  /** How many there can be, once that was asked. */
  #allowed: Promise<number> | undefined;

  /** @param parts What they are made of. */
  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  /** Makes one: `NvmeController.queue`. */
  async make(options: QueueOptions): Promise<IoQueue> {
    const { depth = 32, wait = "poll" } = options;
    const { maxEntries, admin, watchdog } = this.#parts;
    if (!(Number.isInteger(depth) && depth >= 1 && depth < maxEntries)) {
      throw new RangeError(
        `Cannot make a queue of ${depth} commands: the controller has 1 to ` +
          `${maxEntries - 1}`,
      );
    }
    const id = this.#freeId(await this.#prepared());
    const queue = this.#allocate(id, depth + 1, wait);
    this.#made.set(id, queue);
    try {
      await admin.createQueue(queue.pair, queue.vector);
    } catch (error) {
      this.#forget(queue);
      throw error;
    }
    watchdog.add(queue);
    return new IoQueue(queue.pair, queue.requests, () => this.#delete(queue));
  }

  /** Makes all again, as the controller was reset. */
  async restore(): Promise<void> {
    if (this.#allowed === undefined) return;
    await this.#prepare();
    for (const { pair, vector, requests } of [...this.#made.values()]) {
      pair.begin();
      await this.#parts.admin.createQueue(pair, vector);
      requests.resume();
    }
  }

  /** Frees all, as the controller was stopped. */
  close(): void {
    for (const queue of [...this.#made.values()]) this.#forget(queue);
  }

  /** Has the controller prepared for queues, and returns how many. */
  #prepared(): Promise<number> {
    return this.#allowed ??= this.#prepare().catch((error) => {
      this.#allowed = undefined;
      throw error;
    });
  }

  async #prepare(): Promise<number> {
    const { admin, doorbells, device } = this.#parts;
    const { shadowDoorbells } = await admin.identify();
    const allowed = await admin.allowQueues();
    doorbells.useShadow(false);
    if (shadowDoorbells && this.#parts.shadowDoorbells) {
      await admin.useShadow(doorbells.allocate(device.space));
      doorbells.useShadow(true);
    }
    return allowed;
  }

  #freeId(allowed: number): number {
    for (let id = 1; id <= allowed; id++) if (!this.#made.has(id)) return id;
    throw new NvmeError("UNSUPPORTED", {
      device: this.#parts.device.name,
      problem: `the controller has no more than ${allowed} queues`,
    });
  }

  #allocate(id: number, entries: number, wait: Wait): MadeQueue {
    const { device, doorbells, maxEntries, vectors } = this.#parts;
    const vector = wait === "poll" || vectors.length === 0
      ? undefined
      : (id - 1) % vectors.length;
    // A queue that polls tells the controller seldom what it has read.
    const completions = wait === "poll"
      ? Math.min(Math.max(2 * entries, PAGE / 16), maxEntries)
      : entries;
    const sizes = { entries, completions, lists: true };
    const memory = device.space.allocate(queueBytes(sizes));
    const pair = new QueuePair(id, device.name, memory, doorbells, sizes);
    try {
      const irq = vector === undefined ? undefined : vectors[vector];
      const requests = this.#parts.requests(
        pair,
        (awaited) => makeWaiter(wait, awaited, irq),
      );
      return { id, pair, vector, requests };
    } catch (error) {
      pair[Symbol.dispose]();
      throw error;
    }
  }

  async #delete(queue: MadeQueue): Promise<void> {
    if (this.#made.get(queue.id) !== queue) return;
    try {
      await this.#parts.admin.deleteQueue(queue.id);
    } catch {
      // It went with the controller, which was stopped.
    }
    if (this.#made.get(queue.id) === queue) this.#forget(queue);
  }

  #forget(queue: MadeQueue): void {
    this.#made.delete(queue.id);
    this.#parts.watchdog.delete(queue);
    queue.requests.close();
    queue.pair[Symbol.dispose]();
  }
}
