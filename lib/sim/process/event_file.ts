import { EFD_NONBLOCK, EFD_SEMAPHORE } from "../../uapi/linux/eventfd.ts";
import { POLLIN, POLLOUT } from "../../uapi/linux/poll.ts";
import type { OpenFile } from "../fs/file.ts";
import { refuse } from "./refusal.ts";

/** The largest count an eventfd holds. */
const MAX_COUNT = 0xffff_ffff_ffff_fffen;

/** An eventfd (`fs/eventfd.c`): a counter that processes can wait for. */
export class EventFile implements OpenFile {
  readonly linkText = "anon_inode:[eventfd]";
  readonly #flags: number;
  readonly #waiters = new Set<() => void>();
  readonly #listeners = new Set<() => void>();
  #count: bigint;

  /**
   * Makes a counter.
   *
   * @param initial The initial count.
   * @param flags `EFD_*` bits.
   */
  constructor(initial: number, flags: number) {
    this.#count = BigInt(initial);
    this.#flags = flags;
  }

  /**
   * Calls a listener each time the counter is increased, and resets the counter
   * (`drivers/vfio/virqfd.c`).
   *
   * @returns Disposing of it removes the listener.
   */
  listen(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Whether the counter is not 0. */
  get isSignalled(): boolean {
    return this.#count > 0n;
  }

  /** Adds to the counter, as an interrupt does. */
  signal(count = 1n): void {
    this.#count = this.#count + count > MAX_COUNT
      ? MAX_COUNT
      : this.#count + count;
    if (this.#listeners.size > 0) this.#count = 0n;
    for (const listener of this.#listeners) listener();
    this.#wake();
  }

  read(into: Uint8Array): number {
    if (into.length < 8) refuse("EINVAL");
    if (this.#count === 0n) {
      // A real eventfd without the flag would block. The simulation cannot.
      if ((this.#flags & EFD_NONBLOCK) === 0) throw new Error(WOULD_BLOCK);
      refuse("EAGAIN");
    }
    const value = (this.#flags & EFD_SEMAPHORE) === 0 ? this.#count : 1n;
    this.#count -= value;
    new DataView(into.buffer, into.byteOffset).setBigUint64(0, value, true);
    this.#wake();
    return 8;
  }

  write(from: Uint8Array): number {
    if (from.length < 8) refuse("EINVAL");
    const count = new DataView(from.buffer, from.byteOffset)
      .getBigUint64(0, true);
    if (count > MAX_COUNT) refuse("EINVAL");
    if (this.#count + count > MAX_COUNT) {
      if ((this.#flags & EFD_NONBLOCK) === 0) throw new Error(WOULD_BLOCK);
      refuse("EAGAIN");
    }
    this.signal(count);
    return 8;
  }

  poll(changed: () => void): number {
    this.#waiters.add(changed);
    return (this.#count > 0n ? POLLIN : 0) |
      (this.#count < MAX_COUNT ? POLLOUT : 0);
  }

  close(): void {
    this.#listeners.clear();
    this.#waiters.clear();
  }

  #wake(): void {
    for (const changed of this.#waiters) changed();
    this.#waiters.clear();
  }
}

const WOULD_BLOCK = "A real process would block in this call: make the " +
  "eventfd with EFD_NONBLOCK and wait for it with pollAsync";
