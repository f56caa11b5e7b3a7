/**
 * Simulates the interrupts of a VFIO device
 * (`drivers/vfio/pci/vfio_pci_intrs.c`).
 *
 * @module
 */

import {
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../uapi/vfio/all.ts";
import { EventFile } from "../process/event_file.ts";
import { IntxLine } from "./intx_line.ts";
import { type IrqData, irqData, type IrqRequest } from "./irq_request.ts";
import { refuse } from "../process/refusal.ts";

/** The interrupts of a device, and what the kernel supports of them. */
export interface InterruptTraits {
  /** The number of its MSI vectors. */
  readonly msi: number;
  /** The number of its MSI-X vectors. */
  readonly msix: number;
  /** Whether it has an INTx pin. */
  readonly intx: boolean;
  /** Whether errors are signalled. */
  readonly errors: boolean;
  /** Whether MSI-X vectors can be added while others are in use. */
  readonly dynamic: boolean;
  /** How many vectors of MSI or MSI-X the host has for it. */
  readonly available: number;
}

/** Returns the open file of a descriptor. EBADF where there is none. */
export type FileOf = (fd: number) => unknown;

/** The eventfds that the vectors of each kind of interrupt signal. */
export class Interrupts {
  /** The INTx line. */
  readonly intx = new IntxLine();
  readonly #traits: InterruptTraits;
  /** The index that is in use: that of MSI or of MSI-X. */
  #messages: number | undefined;
  /** The number of enabled vectors. */
  #enabled = 0;
  readonly #vectors = new Map<number, EventFile>();
  /** The vectors that were added to the enabled ones. */
  readonly #further = new Set<number>();
  /** The eventfds of errors and of requests. */
  readonly #singles = new Map<number, EventFile>();

  /**
   * Makes interrupts without eventfds.
   *
   * @param traits The interrupts of the device.
   */
  constructor(traits: InterruptTraits) {
    this.#traits = traits;
  }

  /** Whether the device sends messages instead of driving its line. */
  get sendsMessages(): boolean {
    return this.#messages !== undefined;
  }

  /** Returns the number of vectors of an index. */
  count(index: number): number {
    const { intx, msi, msix, errors } = this.#traits;
    return [intx ? 1 : 0, msi, msix, errors ? 1 : 0, 1][index] ?? 0;
  }

  /**
   * Returns the `VFIO_IRQ_INFO_*` bits of an index. EINVAL for an unknown
   * index.
   */
  flags(index: number): number {
    const { msix, errors, dynamic } = this.#traits;
    if (index >= VFIO_PCI_NUM_IRQS) refuse("EINVAL");
    if (index === VFIO_PCI_ERR_IRQ_INDEX && !errors) refuse("EINVAL");
    const { INTX, MSIX } = INDEX;
    const grows = index === MSIX && dynamic && msix > 0;
    const otherFlags = index === INTX
      ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
      : VFIO_IRQ_INFO_NORESIZE;
    return VFIO_IRQ_INFO_EVENTFD | (grows ? 0 : otherFlags);
  }

  /**
   * Does VFIO_DEVICE_SET_IRQS. `bytes` follow the struct. Returns 0, or how many
   * vectors the host has, where they are fewer and none is enabled.
   */
  set(request: IrqRequest, bytes: DataView, fileOf: FileOf): number {
    const { flags, index } = request;
    const data = irqData(request, bytes, this.count(index));
    const action = flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const toEventFile = (fd: number) => eventFile(fileOf(fd));
    if (action === VFIO_IRQ_SET_ACTION_TRIGGER) {
      if (index === INDEX.INTX) this.#triggerIntx(data, toEventFile);
      else if (index >= VFIO_PCI_ERR_IRQ_INDEX) {
        this.#triggerSingle(index, data, toEventFile);
      } else {
        return this.#triggerMessages(index, request.start, data, toEventFile);
      }
    } else if (index !== INDEX.INTX) refuse("ENOTTY");
    else if (action === VFIO_IRQ_SET_ACTION_MASK) this.#mask(data);
    else if (action === VFIO_IRQ_SET_ACTION_UNMASK) {
      this.#unmask(data, toEventFile);
    } else refuse("ENOTTY");
    return 0;
  }

  /** Signals the eventfd of a vector, when the device sends a message. */
  fire(vector: number): void {
    this.#vectors.get(vector)?.signal();
  }

  /** Asks user space to release the device. */
  request(): void {
    this.#singles.get(VFIO_PCI_REQ_IRQ_INDEX)?.signal();
  }

  /** Tells user space of an error of the device. */
  reportError(): void {
    this.#singles.get(VFIO_PCI_ERR_IRQ_INDEX)?.signal();
  }

  /** Disconnects all eventfds. */
  clear(): void {
    this.intx.disconnect();
    this.#disableMessages();
    this.#singles.clear();
  }

  #triggerIntx(data: IrqData, toEventFile: EventFileOf): void {
    const { intx } = this;
    if (data.isEmpty && intx.connected) return intx.disconnect();
    if (this.sendsMessages || data.length !== 1) refuse("EINVAL");
    if (data.kind === "eventfd") {
      const fd = data.fds[0]!;
      return intx.connect(fd < 0 ? undefined : toEventFile(fd));
    }
    if (!intx.connected) refuse("EINVAL");
    if (data.bools[0]) intx.signal();
  }

  #mask(data: IrqData): void {
    if (!this.intx.connected || data.length !== 1) refuse("EINVAL");
    if (data.kind === "eventfd") refuse("ENOTTY");
    if (data.bools[0]) this.intx.mask();
  }

  #unmask(data: IrqData, toEventFile: EventFileOf): void {
    if (!this.intx.connected || data.length !== 1) refuse("EINVAL");
    if (data.kind === "eventfd") {
      const fd = data.fds[0]!;
      this.intx.unmaskBy(fd < 0 ? undefined : toEventFile(fd));
    } else if (data.bools[0]) this.intx.unmask();
  }

  #triggerMessages(
    index: number,
    start: number,
    data: IrqData,
    toEventFile: EventFileOf,
  ): number {
    const active = this.#messages === index;
    if (data.isEmpty && active) {
      this.#disableMessages();
      return 0;
    }
    if (this.intx.connected || (this.sendsMessages && !active)) {
      refuse("EINVAL");
    }
    if (data.kind !== "eventfd") {
      if (!active) refuse("EINVAL");
      data.bools.forEach((fires, i) => fires && this.fire(start + i));
      return 0;
    }
    if (active) {
      this.#connect(start, data.fds, toEventFile);
      return 0;
    }
    const { available } = this.#traits;
    const wanted = start + data.length;
    if (wanted === 0) refuse("ERANGE");
    if (wanted > available) return available;
    this.#enabled = wanted;
    this.#messages = index;
    try {
      this.#connect(start, data.fds, toEventFile);
    } catch (error) {
      this.#disableMessages();
      throw error;
    }
    return 0;
  }

  /** Connects vectors. If one is refused, none of them is connected. */
  #connect(
    start: number,
    fds: readonly number[],
    toEventFile: EventFileOf,
  ): void {
    for (const [i, fd] of fds.entries()) {
      try {
        this.#connectVector(start + i, fd, toEventFile);
      } catch (error) {
        for (let j = 0; j <= i; j++) this.#vectors.delete(start + j);
        throw error;
      }
    }
  }

  #connectVector(vector: number, fd: number, toEventFile: EventFileOf): void {
    this.#vectors.delete(vector);
    if (fd < 0) return;
    const grows = this.#messages === INDEX.MSIX && this.#traits.dynamic;
    if (vector >= this.#enabled && !grows) refuse("EINVAL");
    this.#assertAvailable(vector);
    this.#vectors.set(vector, toEventFile(fd));
  }

  /** The host allocates each further vector when it is first connected. */
  #assertAvailable(vector: number): void {
    if (vector < this.#enabled || this.#further.has(vector)) return;
    if (this.#enabled + this.#further.size >= this.#traits.available) {
      refuse("ENOSPC");
    }
    this.#further.add(vector);
  }

  #disableMessages(): void {
    this.#messages = undefined;
    this.#further.clear();
    this.#vectors.clear();
  }

  #triggerSingle(index: number, data: IrqData, toEventFile: EventFileOf): void {
    const present = this.#singles.get(index);
    if (data.kind === "none") {
      if (present === undefined) refuse("EINVAL");
      if (data.isEmpty) this.#singles.delete(index);
      else present.signal();
      return;
    }
    if (data.length === 0) refuse("EINVAL");
    if (data.kind === "bool") {
      if (data.bools[0]) present?.signal();
      return;
    }
    const fd = data.fds[0]!;
    if (fd < -1) refuse("EINVAL");
    if (fd === -1) this.#singles.delete(index);
    else this.#singles.set(index, toEventFile(fd));
  }
}

type EventFileOf = (fd: number) => EventFile;

const INDEX = {
  INTX: VFIO_PCI_INTX_IRQ_INDEX,
  MSIX: VFIO_PCI_MSIX_IRQ_INDEX,
} as const;

function eventFile(file: unknown): EventFile {
  return file instanceof EventFile ? file : refuse("EINVAL");
}
