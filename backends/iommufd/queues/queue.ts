import { toVfioError } from "../../../lib/errors.ts";
import type { SignalOptions } from "../../../lib/kernel/abort.ts";
import type { IommufdFile } from "../core/iommufd_file.ts";
import { IommufdObject } from "../core/object.ts";
import type { QueueFile } from "./queue_file.ts";

/** What a queue is made with. */
export interface QueueParts {
  /** The iommufd that it lives in. */
  readonly iommufd: IommufdFile;
  /** What errors call it: "fault queue". */
  readonly kind: string;
  /** Its number. */
  readonly id: number;
  /** Its file. */
  readonly file: QueueFile;
  /** What it keeps. */
  readonly uses?: readonly IommufdObject[];
}

/**
 * A queue that the kernel fills and this process reads
 * (`drivers/iommu/iommufd/eventq.c`).
 */
export abstract class Queue<Item> extends IommufdObject
  implements AsyncIterable<Item> {
  /** Its file. */
  protected readonly file: QueueFile;
  /** What was read and not yet given out. */
  readonly #read: Item[] = [];

  /** Made by the `allocate` of each kind. */
  constructor({ iommufd, kind, id, file, uses }: QueueParts) {
    super(iommufd, kind, id, uses);
    this.file = file;
  }

  /** Takes apart what was read. */
  protected abstract decode(bytes: Uint8Array<ArrayBuffer>): Item[];

  /**
   * Returns what comes next, if that is there.
   *
   * @returns It; `undefined` where there is nothing.
   * @throws {VfioError} `DETACHED` once the queue is destroyed, `KERNEL`.
   */
  take(): Item | undefined {
    this.assertThere();
    if (this.#read.length === 0) this.#read.push(...this.decode(this.#bytes()));
    return this.#read.shift();
  }

  /**
   * Waits for what comes next.
   *
   * @param options A signal, which gives the wait up.
   * @throws {VfioError} `DETACHED` when the queue is destroyed, `KERNEL`.
   * @throws The signal's reason, when it is aborted.
   */
  async next(options: SignalOptions = {}): Promise<Item> {
    for (;;) {
      const item = this.take();
      if (item !== undefined) return item;
      await this.file.readable(options);
    }
  }

  /** Gives what comes until the queue is destroyed, or the signal aborted. */
  protected async *items(options: SignalOptions): AsyncGenerator<Item> {
    while (!this.destroyed && !this.file.closed) {
      const item = this.take();
      if (item !== undefined) yield item;
      else if (!await this.file.readable(options)) return;
    }
  }

  /** Iterates over what comes, and ends when the queue is destroyed. */
  [Symbol.asyncIterator](): AsyncGenerator<Item> {
    return this.items({});
  }

  #bytes(): Uint8Array<ArrayBuffer> {
    try {
      return this.file.read();
    } catch (error) {
      throw toVfioError(error, `read from ${this.name}`);
    }
  }

  /** Closes its file, which keeps it. */
  protected override release(): void {
    this.file.close();
  }
}
