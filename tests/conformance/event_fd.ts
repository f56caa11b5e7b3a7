import type { Kernel } from "../../mod.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../../lib/uapi/linux/eventfd.ts";
import { POLLIN } from "../../lib/uapi/linux/poll.ts";
import { answer } from "./answer.ts";
import { KernelFile } from "./kernel_file.ts";

/** An eventfd that is read without waiting. */
export class EventFd extends KernelFile {
  /** @param kernel The system. */
  constructor(kernel: Kernel) {
    super(kernel, kernel.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  }

  /** Returns how often it was signalled since the last call. */
  count(): number {
    const bytes = new Uint8Array(8);
    const done = answer(() => this.kernel.read(this.fd, bytes));
    if (done === "EAGAIN") return 0;
    return Number(new DataView(bytes.buffer).getBigUint64(0, true));
  }

  /**
   * Waits until it is signalled, for a second at most.
   *
   * @returns How often it was signalled since the last call.
   */
  async wait(): Promise<number> {
    await this.kernel.pollAsync([{ fd: this.fd, events: POLLIN }], 1000);
    return this.count();
  }
}
