import type { Kernel } from "../../mod.ts";
import type { Ioctl } from "../../lib/uapi/ioctl.ts";

/** A file descriptor of the system under test. */
export class KernelFile implements Disposable {
  /** The system. */
  readonly kernel: Kernel;
  /** The descriptor. */
  readonly fd: number;
  #open = true;

  /**
   * @param kernel The system.
   * @param fd The descriptor; it is closed with this.
   */
  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
  }

  /** Makes an ioctl. */
  ioctl(operation: Ioctl, argument?: Uint8Array | bigint): number {
    return this.kernel.ioctl(this.fd, operation, argument);
  }

  /** Closes it, unless it is closed. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.kernel.close(this.fd);
  }

  /** The same as {@linkcode KernelFile.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
