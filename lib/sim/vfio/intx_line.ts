import type { EventFile } from "../process/event_file.ts";
import { refuse } from "../process/refusal.ts";

/**
 * A function's INTx line, which VFIO masks as it fires
 * (`drivers/vfio/pci/vfio_pci_intrs.c`).
 */
export class IntxLine {
  #asserted = false;
  #connected = false;
  #masked = false;
  #disabled = false;
  #trigger: EventFile | undefined;
  #unmasker: Disposable | undefined;
  #signalling = false;

  /** Whether it is in use. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Brings it into use, or has it signal another eventfd. */
  connect(trigger: EventFile | undefined): void {
    this.#trigger = trigger;
    if (this.#connected) return;
    this.#connected = true;
    this.#masked = this.#disabled;
    this.#deliver();
  }

  /** Takes it out of use. */
  disconnect(): void {
    this.unmaskBy(undefined);
    this.#connected = false;
    this.#trigger = undefined;
  }

  /** The device asserts it, or no longer. */
  drive(asserted: boolean): void {
    this.#asserted = asserted;
    this.#deliver();
  }

  /** Signals the eventfd, as a test of that. */
  signal(): void {
    // One that unmasks by what it signals would go on in circles.
    if (this.#disabled || this.#signalling) return;
    this.#signalling = true;
    this.#trigger?.signal();
    this.#signalling = false;
  }

  /** Holds it back. */
  mask(): void {
    this.#masked = true;
  }

  /** Lets it through. One that is asserted still is told again at once. */
  unmask(): void {
    if (!this.#connected || !this.#masked || this.#disabled) return;
    if (this.#asserted) this.signal();
    else this.#masked = false;
  }

  /** Has an eventfd unmask it: EBUSY where one does already. */
  unmaskBy(eventfd: EventFile | undefined): void {
    if (eventfd === undefined) {
      this.#unmasker?.[Symbol.dispose]();
      this.#unmasker = undefined;
      return;
    }
    if (this.#unmasker !== undefined) refuse("EBUSY");
    this.#unmasker = eventfd.listen(() => this.unmask());
  }

  /** `PCI_COMMAND_INTX_DISABLE` was written. */
  disable(disabled: boolean): void {
    if (disabled === this.#disabled) return;
    this.#disabled = disabled;
    if (disabled) this.mask();
    else this.unmask();
  }

  #deliver(): void {
    if (!this.#connected || !this.#asserted || this.#masked) return;
    this.#masked = true;
    this.signal();
  }
}
