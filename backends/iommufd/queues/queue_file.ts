import { type SignalOptions, untilAborted } from "../../../lib/kernel/abort.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import type { Fd } from "../../../lib/kernel/fd.ts";
import type { EventSource, Kernel } from "../../../lib/kernel/kernel.ts";

/** The largest record of a queue that this library makes room for, in bytes. */
const MOST_ROOM = 2 ** 20;

/**
 * The file of a queue (`drivers/iommu/iommufd/eventq.c`): reading never waits,
 * and gives nothing where there is nothing.
 */
export class QueueFile {
  readonly #kernel: Kernel;
  readonly #fd: Fd;
  #source: EventSource | undefined;
  /** What all who wait are waiting for. */
  #ready: Promise<void> | undefined;
  #waiting = 0;
  /** Ends when the file is closed. */
  readonly #closing = Promise.withResolvers<void>();
  #buffer: Uint8Array<ArrayBuffer>;

  /**
   * Made by the `allocate` of each kind of queue.
   *
   * @param kernel The system.
   * @param fd The file.
   * @param room The size of a usual read, in bytes.
   */
  constructor(kernel: Kernel, fd: Fd, room: number) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.#buffer = new Uint8Array(room);
  }

  /** Whether it was closed. */
  get closed(): boolean {
    return this.#fd.number < 0;
  }

  /** Reads what is there; nothing where the queue is empty. */
  read(): Uint8Array<ArrayBuffer> {
    for (;;) {
      try {
        const count = this.#kernel.read(this.#fd.number, this.#buffer);
        return this.#buffer.slice(0, count);
      } catch (error) {
        // What is read in one piece does not fit. Nothing was taken.
        const { length } = this.#buffer;
        if (!hasErrno(error, "EINVAL") || length >= MOST_ROOM) throw error;
        this.#buffer = new Uint8Array(length * 2);
      }
    }
  }

  /** Writes an answer. */
  write(bytes: Uint8Array): void {
    this.#kernel.write(this.#fd.number, bytes);
  }

  /**
   * Waits until there is something to read, or it is closed.
   *
   * @returns Whether there is.
   * @throws The signal's reason, when it is aborted.
   */
  async readable({ signal }: SignalOptions): Promise<boolean> {
    signal?.throwIfAborted();
    if (this.closed) return false;
    const source = this.#source ??= this.#kernel.eventSource(this.#fd.number);
    this.#waiting++;
    try {
      await untilAborted(this.#ready ??= this.#arm(source), signal);
    } finally {
      if (--this.#waiting === 0 && !this.closed) {
        source.disarm();
        this.#ready = undefined;
      }
    }
    return !this.closed;
  }

  /** Done once there is something to read, or it is closed. */
  async #arm(source: EventSource): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    source.arm(resolve);
    await Promise.race([promise, this.#closing.promise]);
    this.#ready = undefined;
  }

  /** Closes it. Who waits is told. */
  close(): void {
    if (this.closed) return;
    this.#source?.release();
    this.#source = undefined;
    this.#fd.close();
    this.#closing.resolve();
  }
}
