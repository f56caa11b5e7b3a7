import type { EventFile } from "../process/event_file.ts";
import { refuse } from "../process/refusal.ts";

/**
 * A function's INTx line. VFIO masks it when it fires
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

  /** Whether it is connected. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Connects it, or replaces its eventfd. */
  connect(trigger: EventFile | undefined): void {
    this.#trigger = trigger;
    if (this.#connected) return;
    this.#connected = true;
    this.#masked = this.#disabled;
    this.#deliver();
  }

  /** Disconnects it. */
  disconnect(): void {
    this.unmaskBy(undefined);
    this.#connected = false;
    this.#trigger = undefined;
  }

  /** Called when the device asserts or deasserts it. */
  drive(asserted: boolean): void {
    this.#asserted = asserted;
    this.#deliver();
  }

  /** Signals the eventfd. User space can request that as a test. */
  signal(): void {
    // An eventfd that both signals and unmasks would recurse without end.
    if (this.#disabled || this.#signalling) return;
    this.#signalling = true;
    this.#trigger?.signal();
    this.#signalling = false;
  }

  /** Masks it. */
  mask(): void {
    this.#masked = true;
  }

  /** Unmasks it. If it is still asserted, it signals again at once. */
  unmask(): void {
    if (!this.#connected || !this.#masked || this.#disabled) return;
    if (this.#asserted) this.signal();
    else this.#masked = false;
  }

  /** Lets an eventfd unmask it. EBUSY where one does already. */
  unmaskBy(eventfd: EventFile | undefined): void {
    if (eventfd === undefined) {
      this.#unmasker?.[Symbol.dispose]();
      this.#unmasker = undefined;
      return;
    }
    if (this.#unmasker !== undefined) refuse("EBUSY");
    this.#unmasker = eventfd.listen(() => this.unmask());
  }

  /** Called when `PCI_COMMAND_INTX_DISABLE` is written. */
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
