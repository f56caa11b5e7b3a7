import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";

/** What interrupts need of their device. */
export interface IrqDevice {
  /** Its name, for errors. */
  readonly name: string;
  /** The system that is asked. */
  readonly kernel: Kernel;
  /** What it is used as, and how many kinds of interrupt it has. */
  readonly info: { readonly api: string | undefined; readonly irqs: number };
  /** Its descriptor; throws `DETACHED` once it is detached. */
  readonly handle: Fd;
  /**
   * Has something released at its detach at the latest. The function that it
   * returns is called when that was released before.
   */
  hold(what: string, release: () => Promise<void>): () => void;
}
