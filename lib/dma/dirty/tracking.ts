import { VfioError } from "../../errors.ts";
import type { DmaMapping } from "../mapping.ts";
import type { Member } from "../members.ts";
import type { DirtyBitmap } from "./bitmap.ts";
import type { DirtySession } from "./session.ts";
import type {
  DirtySource,
  DirtyStartOptions,
  TrackedSpace,
} from "./tracked_space.ts";

/** How written memory is read. */
export interface DirtyReadOptions {
  /**
   * Whether the pages are forgotten: the next read tells only what is written
   * from then on.
   *
   * @default {true}
   */
  readonly clear?: boolean;
}

/** The names of what an address space tells; `mod.ts` does not export them. */
export const JOINED: unique symbol = Symbol("joined");
/** See {@linkcode JOINED}. */
export const LEFT: unique symbol = Symbol("left");

/**
 * Which memory the devices of an address space write: `space.dirty`.
 *
 * A page that was written is always told, once at least. Where nobody knows
 * better, pages are told that nobody has written, and
 * {@linkcode DirtyBitmap.reason} says why.
 *
 * @example Copy memory while a device writes it
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace();
 * await using _device = await VfioDevice.attach("0000:01:00.0", space);
 * using memory = space.allocate(2 ** 20);
 * const copy = new Uint8Array(memory.size);
 * await space.dirty.start();
 * copy.set(memory.bytes);
 * const written = await space.dirty.read(memory);
 * written.forEach((offset, bytes) =>
 *   copy.set(memory.bytes.subarray(offset, offset + bytes), offset)
 * );
 * console.log(`${written.dirtyPages} pages, told by ${space.dirty.by}`);
 * await space.dirty.stop();
 * ```
 */
export class DirtyTracking {
  readonly #space: TrackedSpace;
  #session: DirtySession | undefined;
  /** Done when the last step is, as each follows the one before. */
  #last: Promise<unknown> = Promise.resolve();

  /** Made by an address space. */
  constructor(space: TrackedSpace) {
    this.#space = space;
  }

  /** Who tells; `undefined` while it is stopped. */
  get by(): DirtySource | undefined {
    return this.#session?.by;
  }

  /** Why that one was chosen, as a clause; `undefined` while it is stopped. */
  get reason(): string | undefined {
    return this.#session?.reason;
  }

  /**
   * What a bit of a bitmap stands for, in bytes; `undefined` while it is
   * stopped.
   */
  get pageSize(): number | undefined {
    return this.#session?.pageSize;
  }

  /**
   * Starts to track. No page is told that was written before. Devices that are
   * attached later are tracked too.
   *
   * A device's own log covers the memory that is mapped now; what is mapped
   * later is taken as written.
   *
   * @param options Who tells.
   * @throws {TypeError} If it has started already.
   * @throws {VfioError} `DETACHED` if no device is attached; `NOT_SUPPORTED` if
   * whom `by` names cannot, or the devices have no IOMMU; `KERNEL`.
   */
  start(options: DirtyStartOptions = {}): Promise<void> {
    return this.#next(async () => {
      if (this.#session !== undefined) {
        throw new TypeError("Cannot start dirty tracking: it has started");
      }
      const { DirtySession } = await import("./session.ts");
      this.#session = await DirtySession.start(this.#space, options.by);
    });
  }

  /**
   * Reads which pages were written since the start, or since the last read that
   * has cleared them. What is not mapped was not written.
   *
   * Where the kernel fails, all of the memory is told: it may have forgotten
   * what it was about to tell.
   *
   * @param range Which memory, whole pages.
   * @param options Whether the pages are forgotten.
   * @throws {RangeError} If it is not whole pages.
   * @throws {TypeError} While it is stopped.
   */
  read(
    range: { readonly iova: bigint; readonly size: bigint | number },
    { clear = true }: DirtyReadOptions = {},
  ): Promise<DirtyBitmap> {
    return this.#next(() => {
      const { iova, size } = range;
      return this.#started.read(iova, Number(size), clear);
    });
  }

  /**
   * Unmaps memory, and reads which of its pages were written: none of those is
   * missing that were written by then.
   *
   * Only a container does both at once. With page tables, all of it is told
   * unless no device can write: {@linkcode VfioDevice.setBusMaster}.
   *
   * @param mapping What is unmapped.
   * @throws {TypeError} While it is stopped.
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` if it is not mapped any more;
   * `KERNEL`, and it stays mapped.
   */
  unmap(mapping: DmaMapping): Promise<DirtyBitmap> {
    return this.#next(() => {
      const session = this.#started;
      if (this.#space.mappings.has(mapping)) return session.unmap(mapping);
      throw new VfioError("IOVA_OUT_OF_RANGE", {
        problem: "the mapping is not there any more",
        hint: "unmap a mapping of this address space once",
      });
    });
  }

  /**
   * Stops to track. What was not read is forgotten. Calling it again does
   * nothing.
   *
   * @throws {VfioError} `KERNEL` if a device's log does not end: it goes on, and
   * this can be called again.
   */
  stop(): Promise<void> {
    return this.#next(async () => {
      await this.#session?.stop();
      this.#session = undefined;
    });
  }

  /** @ignore A device is attached, and does not write yet. */
  async [JOINED](member: Member, borrowed: boolean): Promise<void> {
    if (this.#session === undefined) return;
    await this.#next(async () => {
      await this.#session?.join(member, borrowed);
    });
  }

  /** @ignore A device was detached. */
  [LEFT](member: Member): void {
    this.#session?.leave(member);
  }

  get #started(): DirtySession {
    if (this.#session !== undefined) return this.#session;
    throw new TypeError(
      "Cannot tell what devices wrote: start dirty tracking first",
    );
  }

  /** Takes a step when those before it are over. */
  #next<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#last.then(step);
    this.#last = done.catch(() => {});
    return done;
  }
}
