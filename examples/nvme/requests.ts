/**
 * Commands as promises: any number at once, of which as many as the queue has
 * room for are under way.
 *
 * @module
 */
import { commandFailed, NvmeError } from "./error.ts";
import type { QueuePair } from "./queue_pair.ts";
import type { Command } from "./queue_shape.ts";
import type { Awaited, Waiter } from "./waiting.ts";

/** Where a command's data is. */
export interface Data {
  /** Where the controller sees it, a multiple of 4. */
  readonly iova: number;
  /** Bytes. */
  readonly bytes: number;
}

const NO_DATA: Data = { iova: 0, bytes: 0 };

/** A command under way. */
interface Pending {
  readonly opcode: number;
  /** When it is late, as `performance.now()`. */
  readonly deadline: number;
  /** Whether it was late, so that it is being aborted. */
  isLate: boolean;
  readonly resolve: (result: number) => void;
  readonly reject: (error: unknown) => void;
}

/** The commands of a queue. */
export class Requests implements Awaited {
  readonly #device: string;
  readonly #pair: QueuePair;
  readonly #timeLimit: number;
  readonly #waiter: Waiter;
  readonly #broken: (error: unknown) => void;
  readonly #pending: (Pending | undefined)[];
  /** Who waits for an id. */
  readonly #waiting: PromiseWithResolvers<void>[] = [];
  #count = 0;
  #willRing = false;
  #isPaused = false;
  #error: unknown;

  /**
   * @param device The controller's address, for errors.
   * @param pair The queues.
   * @param timeLimit How long a command may take, in milliseconds.
   * @param makeWaiter Makes what waits for completions.
   * @param broken Called when completions make no sense. It stops the
   * controller, then ends the commands.
   */
  constructor(
    device: string,
    pair: QueuePair,
    timeLimit: number,
    makeWaiter: (awaited: Awaited) => Waiter,
    broken: (error: unknown) => void,
  ) {
    this.#broken = broken;
    this.#device = device;
    this.#pair = pair;
    this.#timeLimit = timeLimit;
    this.#pending = new Array(pair.depth).fill(undefined);
    this.#waiter = makeWaiter(this);
  }

  /** How many commands are under way. */
  get pending(): number {
    return this.#count;
  }

  /**
   * Has the controller carry out a command.
   *
   * @param command The command.
   * @param data Where its data is.
   * @returns The first dword of its completion.
   * @throws {NvmeError} `COMMAND_FAILED`, `TIMED_OUT`, `RESET`, `PROTOCOL`,
   * `CLOSED`. The controller does not use the data any more then.
   * @throws {VfioError} `DEVICE_LOST`.
   */
  async run(command: Command, data: Data = NO_DATA): Promise<number> {
    const id = await this.#take();
    try {
      this.#pair.bind(id, data.iova, data.bytes);
    } catch (error) {
      this.#give(id);
      throw error;
    }
    return await this.#run(id, command);
  }

  #run(id: number, command: Command): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#pending[id] = {
      ...{ opcode: command.opcode, resolve, reject, isLate: false },
      deadline: performance.now() + this.#timeLimit,
    };
    this.#count++;
    this.#pair.submitCommand(id, command);
    if (!this.#willRing) {
      // One doorbell for all commands of this turn, before it is waited for.
      this.#willRing = true;
      queueMicrotask(this.#ring);
    }
    this.#waiter.start();
    return promise;
  }

  spin(times: number): boolean {
    return !this.#isPaused && this.#pair.spin(times);
  }

  reap(): void {
    if (this.#isPaused) return;
    let count = 0;
    try {
      count = this.#pair.reap();
    } catch (error) {
      this.pause();
      this.#broken(error);
      return;
    }
    // Their promises go on after this, so `completed` stays as it is.
    for (let i = 0; i < count; i++) this.#complete(this.#pair.completed(i));
  }

  /**
   * Finds the commands that have become late.
   *
   * @returns Their ids, each once.
   */
  late(): number[] {
    const now = performance.now();
    const late: number[] = [];
    for (const [id, pending] of this.#pending.entries()) {
      if (pending === undefined || pending.isLate) continue;
      if (pending.deadline > now) continue;
      pending.isLate = true;
      late.push(id);
    }
    return late;
  }

  /** Whether a late command is still under way. */
  isUnderWay(id: number): boolean {
    return this.#pending[id]?.isLate ?? false;
  }

  /** The error that has ended it, if one has. */
  get error(): unknown {
    return this.#error;
  }

  /** Has new commands wait, as the controller is about to be reset. */
  pause(): void {
    this.#isPaused = true;
  }

  /**
   * Ends all commands under way with an error. The controller must not use
   * their data any more.
   */
  fail(error: unknown): void {
    for (const [id, pending] of this.#pending.entries()) {
      if (pending === undefined) continue;
      this.#pending[id] = undefined;
      const isLate = pending.isLate && error instanceof NvmeError;
      pending.reject(isLate ? this.#late(error) : error);
    }
    this.#count = 0;
  }

  /** Has commands that wait go on, in queues that begin anew. */
  resume(): void {
    this.#isPaused = false;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  /** Ends all commands with an error, also those that wait and that follow. */
  end(error: unknown): void {
    this.#error ??= error;
    this.pause();
    this.fail(this.#error);
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  /** Ends it. */
  close(): void {
    this.#waiter.stop();
    this.end(
      new NvmeError("CLOSED", {
        device: this.#device,
        problem: `queue ${this.#pair.id} was closed`,
      }),
    );
  }

  readonly #ring = () => {
    this.#willRing = false;
    if (this.#isPaused) return;
    try {
      this.#pair.ring();
    } catch (error) {
      // The device was detached, or is being reset.
      this.pause();
      this.#broken(error);
    }
  };

  async #take(): Promise<number> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const id = this.#isPaused ? -1 : this.#pair.take();
      if (id >= 0) return id;
      const waiting = Promise.withResolvers<void>();
      this.#waiting.push(waiting);
      await waiting.promise;
    }
  }

  #give(id: number): void {
    this.#pair.give(id);
    this.#waiting.shift()?.resolve();
  }

  #complete(id: number): void {
    const pending = this.#pending[id]!;
    const status = this.#pair.status(id);
    const result = this.#pair.result(id);
    this.#pending[id] = undefined;
    this.#count--;
    this.#give(id);
    if (status === 0) return pending.resolve(result);
    const failed = commandFailed(this.#device, pending.opcode, status);
    pending.reject(pending.isLate ? this.#late(failed) : failed);
  }

  #late(cause: NvmeError): NvmeError {
    return new NvmeError("TIMED_OUT", {
      device: this.#device,
      problem:
        `a command took more than ${this.#timeLimit} ms, and was aborted`,
      cause,
    });
  }
}
