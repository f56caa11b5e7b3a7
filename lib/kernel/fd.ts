import type { Ioctl } from "../uapi/ioctl.ts";
import type { Kernel } from "./kernel.ts";

/** A file descriptor with an owner: it is closed once, when disposed of. */
export class Fd implements Disposable {
  readonly #kernel: Kernel;
  #number: number;

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

  /** The descriptor's number; -1 once closed. */
  get number(): number {
    return this.#number;
  }

  /** Performs an ioctl on it: {@linkcode Kernel.ioctl}. */
  ioctl(operation: Ioctl, argument?: Uint8Array | bigint): number {
    return this.#kernel.ioctl(this.#number, operation, argument);
  }

  /** Performs an ioctl that can block: {@linkcode Kernel.ioctlAsync}. */
  ioctlAsync(
    operation: Ioctl,
    argument?: Uint8Array | bigint,
  ): Promise<number> {
    return this.#kernel.ioctlAsync(this.#number, operation, argument);
  }

  /** Gives up the number without closing it, for {@linkcode closeAsync}. */
  #release(): number | undefined {
    const number = this.#number;
    this.#number = -1;
    return number < 0 ? undefined : number;
  }

  /** Closes it, if it is open. */
  close(): void {
    const number = this.#release();
    if (number !== undefined) this.#kernel.close(number);
  }

  /** Closes it without holding the event loop: closing can reset a device. */
  async closeAsync(): Promise<void> {
    const number = this.#release();
    if (number !== undefined) await this.#kernel.closeAsync(number);
  }

  /** The same as {@linkcode Fd.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
