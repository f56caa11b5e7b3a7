import { toVfioError, VfioError } from "../../errors.ts";
import type { SignalOptions } from "../../kernel/abort.ts";
import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { Listener, OneCount, VectorCounts } from "./vector_counts.ts";
import { VectorWaits } from "./vector_waits.ts";

/** How a function is called with counts. */
export interface ListenOptions {
  /**
   * Whether the process can end while it listens.
   *
   * @default {false}
   */
  readonly inBackground?: boolean;
}

/** The name of what ends a vector, for its `Irq` and nobody else. */
export const CLOSE: unique symbol = Symbol("close");

/**
 * One interrupt of a device, connected to an eventfd. It says how often it was
 * signalled: a number of 1 or more, as interrupts that nobody waits for add up
 * in the kernel and cost nothing.
 *
 * Each iteration, wait and listener gets every interrupt that arrives while it
 * waits, and an iteration also those that another one was given meanwhile.
 * Where the vector is disabled or its device is detached, iterations end, and
 * whoever waits for a single count gets a `VfioError` `DETACHED`. A reset of
 * the device changes nothing: the eventfd stays connected.
 *
 * @example Interrupts as they come
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * const msix = device.irq("msix");
 * const [vector] = await msix.enable();
 * // In place of the device.
 * msix.trigger();
 * for await (const count of vector!) {
 *   console.log(count); // => 1
 *   break;
 * }
 * ```
 */
export class IrqVector implements AsyncIterable<number> {
  readonly #device: string;
  readonly #kernel: Kernel;
  readonly #eventfd: Fd;
  /** What waits for the eventfd, from the first time on. */
  #waits: VectorWaits | undefined;
  /** The kind of interrupt: `"msix"`. */
  readonly irq: string;
  /** Its number among those of its kind. */
  readonly index: number;

  /** Made by `Irq.enable`. */
  constructor(
    device: { readonly name: string; readonly kernel: Kernel },
    irq: string,
    index: number,
    eventfd: Fd,
  ) {
    this.#device = device.name;
    this.#kernel = device.kernel;
    this.#eventfd = eventfd;
    this.irq = irq;
    this.index = index;
  }

  /** Whether it is connected: not once it was disabled, or detached. */
  get connected(): boolean {
    return this.#eventfd.number >= 0;
  }

  /**
   * The eventfd that it signals, which does not block: to hand to KVM, to a
   * child process, or to `poll`. Whoever reads it takes the count. It is closed
   * when the vector is disabled, or its device detached.
   *
   * @throws {VfioError} `DETACHED`.
   */
  get fd(): number {
    this.#assertConnected();
    return this.#eventfd.number;
  }

  /**
   * Waits for the next interrupt, or takes those that nobody has waited for.
   *
   * @param options A signal, which gives the wait up.
   * @returns How many there were.
   * @throws {VfioError} `DETACHED` when the vector is disabled, or its device
   * detached; `KERNEL`.
   * @throws The signal's reason, when it is aborted.
   */
  async next({ signal }: SignalOptions = {}): Promise<number> {
    signal?.throwIfAborted();
    const waits = this.#open();
    const one = new OneCount(waits, () => this.#disconnected(), signal);
    waits.add(one);
    return await one.count;
  }

  /**
   * Iterates over the counts as they come, and ends when the vector is
   * disabled, or its device detached.
   *
   * @param options A signal, which ends it with its reason as the error.
   * @throws {VfioError} `DETACHED` if it is so already, `KERNEL`.
   */
  counts({ signal }: SignalOptions = {}): AsyncIterableIterator<number> {
    const waits = this.#open();
    const counts = new VectorCounts(waits, signal);
    waits.add(counts);
    return counts;
  }

  /** The same as {@linkcode IrqVector.counts} without a signal. */
  [Symbol.asyncIterator](): AsyncIterableIterator<number> {
    return this.counts();
  }

  /**
   * Calls a function with each count, without a promise for each.
   *
   * @param listener The function. What it throws is an uncaught error, as in a
   * timer.
   * @param options Whether the process can end meanwhile.
   * @returns To be disposed of when it is to be called no more; that also ends
   * with the vector.
   * @throws {VfioError} `DETACHED`, `KERNEL`.
   */
  listen(
    listener: (count: number) => void,
    { inBackground = false }: ListenOptions = {},
  ): Disposable {
    const waits = this.#open();
    const consumer = new Listener(waits, listener, inBackground);
    waits.add(consumer);
    return consumer;
  }

  /**
   * Ends everything that waits, and closes the eventfd.
   *
   * @returns Done when nothing of it is left, where that takes time.
   * @ignore
   */
  [CLOSE](): Promise<void> | void {
    try {
      return this.#waits?.close();
    } finally {
      this.#waits = undefined;
      this.#eventfd[Symbol.dispose]();
    }
  }

  /** Makes what waits for the eventfd, once. */
  #open(): VectorWaits {
    this.#assertConnected();
    try {
      return this.#waits ??= new VectorWaits(
        this.#kernel.eventSource(this.#eventfd.number),
        (error) => this.#error(error),
      );
    } catch (error) {
      throw this.#error(error);
    }
  }

  #error(error: unknown): unknown {
    const doing = `wait for vector ${this.index} of ${this.irq}`;
    return toVfioError(error, doing, this.#device);
  }

  #assertConnected(): void {
    if (!this.connected) throw this.#disconnected();
  }

  #disconnected(): VfioError {
    return new VfioError("DETACHED", {
      device: this.#device,
      problem: `vector ${this.index} of ${this.irq} was disabled, or the ` +
        "device was detached",
      hint: `enable it again: device.irq("${this.irq}").enable`,
    });
  }
}
