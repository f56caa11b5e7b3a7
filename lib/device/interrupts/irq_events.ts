import type { SignalOptions } from "../../kernel/abort.ts";
import type { Irq } from "./irq.ts";
import type { IrqVector } from "./irq_vector.ts";

/**
 * The events that a device tells of by an interrupt of its own, as
 * `VfioDevice.requests` and `VfioDevice.errors`. The interrupt is enabled when
 * somebody first waits for them, and disabled with the device's detach. Each
 * gives how many there were; iterations end with the device's detach.
 */
export class IrqEvents implements AsyncIterable<number> {
  readonly #irq: () => Irq;
  #enabling: Promise<IrqVector> | undefined;

  /**
   * Made by `VfioDevice.requests` and `VfioDevice.errors`.
   *
   * @param irq Finds the kind of interrupt; it may throw.
   */
  constructor(irq: () => Irq) {
    this.#irq = irq;
  }

  /**
   * Waits for the next event.
   *
   * @param options A signal, which gives the wait up.
   * @returns How many there were.
   * @throws {VfioError} `NOT_SUPPORTED` if the device tells of none; `DETACHED`
   * when it is detached; `KERNEL`.
   * @throws The signal's reason, when it is aborted.
   */
  async next(options: SignalOptions = {}): Promise<number> {
    const vector = await this.vector();
    return await vector.next(options);
  }

  /**
   * Iterates over the events as they come, and ends when the device is
   * detached.
   *
   * @param options A signal, which ends it with its reason as the error.
   */
  counts(options: SignalOptions = {}): AsyncIterableIterator<number> {
    const counts = this.vector().then((vector) => vector.counts(options));
    // Who iterates is told.
    counts.catch(() => {});
    return {
      next: async () => (await counts).next(),
      return: async () => (await counts).return!(),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** The same as {@linkcode IrqEvents.counts} without a signal. */
  [Symbol.asyncIterator](): AsyncIterableIterator<number> {
    return this.counts();
  }

  /**
   * Enables the interrupt, where it is not enabled yet.
   *
   * @returns Its vector.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED`, `KERNEL`.
   */
  async vector(): Promise<IrqVector> {
    const irq = this.#irq();
    const [present] = irq.vectors;
    if (present !== undefined) return present;
    this.#enabling ??= irq.enable().then(([vector]) => vector!)
      .finally(() => this.#enabling = undefined);
    return await this.#enabling;
  }
}
