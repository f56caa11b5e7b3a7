import type { Ioctl } from "../uapi/ioctl.ts";
import { type SignalOptions, untilAborted } from "./abort.ts";
import { KernelError } from "./errno.ts";
import type { Kernel } from "./kernel.ts";

/**
 * A file descriptor with an owner: it is closed once, when disposed of.
 *
 * It counts the calls that are made on it by other threads, and is closed when
 * they are over: a number that was closed can become that of another file.
 */
export class Fd implements Disposable {
  readonly #kernel: Kernel;
  #number: number;
  /** Calls that are under way. */
  #calls = 0;
  /** Done when the last of these calls is over. */
  #idle: PromiseWithResolvers<void> | undefined;

  private constructor(kernel: Kernel, number: number) {
    this.#kernel = kernel;
    this.#number = number;
  }

  /**
   * Opens `path` with the `O_*` bits of `flags`. `mode` is the mode of a file
   * that this creates: {@linkcode Kernel.open}.
   */
  static open(kernel: Kernel, path: string, flags: number, mode?: number): Fd {
    return new Fd(
      kernel,
      mode === undefined
        ? kernel.open(path, flags)
        : kernel.open(path, flags, mode),
    );
  }

  /** Takes over a descriptor that the kernel has just made. */
  static adopt(kernel: Kernel, number: number): Fd {
    return new Fd(kernel, number);
  }

  /** The descriptor's number; -1 once it is closed, or about to be. */
  get number(): number {
    return this.#number;
  }

  /** Performs an ioctl on it: {@linkcode Kernel.ioctl}. */
  ioctl(operation: Ioctl, argument?: Uint8Array | bigint): number {
    return this.#kernel.ioctl(this.#number, operation, argument);
  }

  /** Performs an ioctl that can block: {@linkcode Kernel.ioctlAsync}. */
  async ioctlAsync(
    operation: Ioctl,
    argument?: Uint8Array | bigint,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    const number = this.#number;
    const call = this.#kernel.ioctlAsync(number, operation, argument);
    return await untilAborted(this.#count(call), signal);
  }

  /** Reads from it as a stream: {@linkcode Kernel.readAsync}. */
  async readAsync(
    into: Uint8Array,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    const call = this.#kernel.readAsync(this.#number, into);
    return await untilAborted(this.#count(call), signal);
  }

  /** Writes to it as a stream: {@linkcode Kernel.writeAsync}. */
  async writeAsync(
    from: Uint8Array,
    { signal }: SignalOptions = {},
  ): Promise<number> {
    const call = this.#kernel.writeAsync(this.#number, from);
    return await untilAborted(this.#count(call), signal);
  }

  /**
   * Keeps it from being closed while its number is in the argument of another
   * descriptor's call.
   *
   * @returns Ends that when it is disposed of.
   */
  keep(): Disposable {
    this.#calls++;
    return {
      [Symbol.dispose]: () => {
        if (--this.#calls === 0) this.#idle?.resolve();
      },
    };
  }

  /** Counts a call while it is under way. */
  async #count<T>(call: Promise<T>): Promise<T> {
    using _ = this.keep();
    return await call;
  }

  /** Gives up the number without closing it. */
  #release(): number | undefined {
    const number = this.#number;
    this.#number = -1;
    return number < 0 ? undefined : number;
  }

  /**
   * Closes it, if it is open. Where a call is under way, it is closed after
   * that.
   */
  close(): void {
    const number = this.#release();
    if (number === undefined) return;
    if (this.#calls === 0) this.#kernel.close(number);
    // Linux closes a descriptor even where it reports an error.
    else {this.#whenIdle().then(() => this.#kernel.close(number)).catch(
        () => {},
      );}
  }

  /**
   * Closes it without holding the event loop: closing can reset a device.
   * Returns when the calls that are under way are over, and it is closed.
   */
  async closeAsync(): Promise<void> {
    const number = this.#release();
    if (number === undefined) return;
    await this.#whenIdle();
    await this.#kernel.closeAsync(number);
  }

  async #whenIdle(): Promise<void> {
    if (this.#calls === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  /**
   * Closes it and ignores an error: Linux closes a descriptor whatever it
   * reports, and the error would hide the one that ended its use.
   */
  [Symbol.dispose](): void {
    try {
      this.close();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
