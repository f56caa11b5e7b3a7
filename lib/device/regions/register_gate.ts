import { VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { CLOSED, type MappedRegisters } from "./mapped_registers.ts";

/** Why registers cannot be accessed. */
export interface RegisterClosure {
  /** What is wrong, as a clause. */
  readonly problem: string;
  /** What opens them again. */
  readonly hint: string;
  /** The kernel's answer, where it was asked. */
  readonly cause?: unknown;
}

/**
 * Keeps the mapped registers of a device closed while an access to them would
 * end the process with SIGBUS, or wait in the kernel: while its memory is not
 * decoded, while it sleeps, and during a reset (`vfio_pci_mmap_huge_fault()` in
 * `drivers/vfio/pci/vfio_pci_core.c`).
 *
 * An access to open registers costs nothing more for it.
 */
export class RegisterGate {
  readonly #device: string;
  readonly #probe: () => RegisterClosure | undefined;
  readonly #views = new Set<MappedRegisters>();
  /** Who is told when they are closed next. */
  readonly #watchers = new Set<() => void>();
  /** By what it is held closed. */
  readonly #holds = new Set<RegisterClosure>();
  /** What the device said when it was asked last. */
  #probed: RegisterClosure | undefined;

  /**
   * Makes a gate without registers.
   *
   * @param device The device's name, for errors.
   * @param probe Asks the device whether an access would succeed.
   */
  constructor(device: string, probe: () => RegisterClosure | undefined) {
    this.#device = device;
    this.#probe = probe;
  }

  /**
   * Adds registers.
   *
   * @returns Removes them.
   */
  add(view: MappedRegisters): () => void {
    this.#views.add(view);
    this.refresh();
    return () => void this.#views.delete(view);
  }

  /**
   * Has a function called once, when the registers are closed next: the kernel
   * then takes their memory back from other devices, too.
   *
   * @returns Ends that.
   */
  watch(closed: () => void): () => void {
    this.#watchers.add(closed);
    return () => void this.#watchers.delete(closed);
  }

  /**
   * Closes all registers, and those that are mapped meanwhile.
   *
   * @param why Why they cannot be accessed.
   * @returns Opens them, unless something else keeps them closed.
   */
  close(why: RegisterClosure): Disposable {
    // The same reason can be given twice at a time.
    const hold = { ...why };
    this.#holds.add(hold);
    this.#update();
    return {
      [Symbol.dispose]: () => {
        if (this.#holds.delete(hold)) this.refresh();
      },
    };
  }

  /**
   * Asks the device again. It is not asked without users, nor while they are
   * held closed: reading its config space would wait, or wake it.
   */
  refresh(): void {
    const users = this.#views.size + this.#watchers.size;
    if (this.#holds.size === 0 && users > 0) {
      this.#probed = this.#probe();
    }
    this.#update();
  }

  /**
   * Explains why the kernel refused an access to a region, which it does with
   * EIO (`vfio_pci_core_do_io_rw()` in `drivers/vfio/pci/vfio_pci_rdwr.c`).
   *
   * @param error What the kernel threw.
   * @returns The error, or `undefined` where that is not the reason.
   */
  explain(error: unknown): VfioError | undefined {
    if (!hasErrno(error, "EIO")) return undefined;
    const [hold] = this.#holds;
    const why = hold ?? this.#probe();
    return why && this.#error({ cause: error, ...why });
  }

  #update(): void {
    const [hold] = this.#holds;
    const open = hold === undefined && this.#probed === undefined;
    for (const view of this.#views) {
      view[CLOSED](open ? undefined : () => this.#refuse());
    }
    if (open) return;
    for (const closed of this.#watchers) closed();
    this.#watchers.clear();
  }

  /** Throws, unless the device says by now that it can be accessed. */
  #refuse(): void {
    this.refresh();
    const [hold = this.#probed] = this.#holds;
    if (hold !== undefined) throw this.#error(hold);
  }

  #error(why: RegisterClosure): VfioError {
    return new VfioError("INACCESSIBLE", { device: this.#device, ...why });
  }
}
