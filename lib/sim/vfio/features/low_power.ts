import type { EventFile } from "../../process/event_file.ts";
import { refuse } from "../../process/refusal.ts";

/**
 * The low power state that a user of a function lets it have
 * (`vfio_pci_runtime_pm_entry()` in `drivers/vfio/pci/vfio_pci_core.c`). It
 * sleeps at once.
 */
export class LowPower {
  #engaged = false;
  #event: EventFile | undefined;

  /** Whether it may sleep. Its mapped registers cannot be used then. */
  get engaged(): boolean {
    return this.#engaged;
  }

  /**
   * Lets it sleep. EINVAL where it may already.
   *
   * @param event Signalled when something wakes it, after which it stays awake.
   */
  enter(event?: EventFile): void {
    if (this.#engaged) refuse("EINVAL");
    this.#engaged = true;
    this.#event = event;
  }

  /** Wakes it for an access. */
  access(): void {
    if (this.#event === undefined) return;
    this.#event.signal();
    this.exit();
  }

  /** Has it stay awake. */
  exit(): void {
    this.#engaged = false;
    this.#event = undefined;
  }
}
