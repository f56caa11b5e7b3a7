/**
 * The interrupts of a VFIO device (`drivers/vfio/pci/vfio_pci_intrs.c`).
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
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../uapi/vfio.ts";
import { EventFile } from "./event_file.ts";
import type { DeviceModel } from "./models/model.ts";
import { refuse } from "./refusal.ts";

/** What VFIO_DEVICE_SET_IRQS asks for, without its data. */
export interface IrqRequest {
  /** One of `VFIO_IRQ_SET_DATA_*` and one of `VFIO_IRQ_SET_ACTION_*`. */
  readonly flags: number;
  /** `VFIO_PCI_*_IRQ_INDEX`. */
  readonly index: number;
  /** The first vector. */
  readonly start: number;
  /** How many vectors. */
  readonly count: number;
}

/** Which eventfd each vector of each kind of interrupt signals. */
export class Interrupts {
  readonly #model: DeviceModel;
  readonly #express: boolean;
  readonly #eventfds: Map<number, EventFile>[] = Array.from(
    { length: VFIO_PCI_NUM_IRQS },
    () => new Map(),
  );
  #line = false;
  #masked = false;

  /**
   * Interrupts that signal nobody.
   *
   * @param model The device that has them.
   * @param express Whether it is a PCI Express function, which tells errors.
   */
  constructor(model: DeviceModel, express: boolean) {
    this.#model = model;
    this.#express = express;
  }

  /** How many vectors an index has. */
  count(index: number): number {
    switch (index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        return this.#model.intx ? 1 : 0;
      case VFIO_PCI_MSI_IRQ_INDEX:
        return this.#model.msi;
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return this.#model.msix;
      case VFIO_PCI_ERR_IRQ_INDEX:
        return this.#express ? 1 : 0;
      case VFIO_PCI_REQ_IRQ_INDEX:
        return 1;
      default:
        return 0;
    }
  }

  /** The `VFIO_IRQ_INFO_*` bits of an index. */
  flags(index: number): number {
    return VFIO_IRQ_INFO_EVENTFD |
      (index === VFIO_PCI_INTX_IRQ_INDEX
        ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
        : index === VFIO_PCI_MSIX_IRQ_INDEX
        ? 0
        : VFIO_IRQ_INFO_NORESIZE);
  }

  /**
   * VFIO_DEVICE_SET_IRQS.
   *
   * @param request What is asked for.
   * @param data What follows it.
   * @param fileOf The open file behind a descriptor.
   */
  set(
    request: IrqRequest,
    data: DataView,
    fileOf: (fd: number) => unknown,
  ): void {
    const { flags, index, start, count } = request;
    this.#validate(request, data);
    const action = flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if (action !== VFIO_IRQ_SET_ACTION_TRIGGER) {
      return this.#mask(index, action);
    }
    const eventfds = this.#eventfds[index]!;
    const none = (flags & VFIO_IRQ_SET_DATA_NONE) !== 0;
    if (none && count === 0) {
      eventfds.clear();
      this.#masked = false;
      return;
    }
    const many = index <= VFIO_PCI_MSIX_IRQ_INDEX;
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) === 0) {
      // A trigger of what nobody set up is EINVAL for INTx, MSI and MSI-X.
      if (many && eventfds.size === 0) refuse("EINVAL");
      for (let i = 0; i < count; i++) {
        if (none || data.getUint8(i) !== 0) eventfds.get(start + i)?.signal();
      }
      return;
    }
    if (many && this.#otherInUse(index)) refuse("EINVAL");
    this.#connect(eventfds, request, data, fileOf);
  }

  /** A vector fires. */
  fire(vector: number): void {
    for (const index of [VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX]) {
      this.#eventfds[index]!.get(vector)?.signal();
    }
  }

  /** The INTx line changes. VFIO masks it when it is asserted. */
  drive(asserted: boolean): void {
    this.#line = asserted;
    const eventfd = this.#eventfds[VFIO_PCI_INTX_IRQ_INDEX]!.get(0);
    if (!asserted || this.#masked || eventfd === undefined) return;
    this.#masked = true;
    eventfd.signal();
  }

  /** User space is asked to give the device back. */
  request(): void {
    this.#eventfds[VFIO_PCI_REQ_IRQ_INDEX]!.get(0)?.signal();
  }

  /** Signals nobody any more. */
  clear(): void {
    for (const eventfds of this.#eventfds) eventfds.clear();
    this.#masked = false;
  }

  #validate({ flags, index, start, count }: IrqRequest, data: DataView): void {
    const known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if (index >= VFIO_PCI_NUM_IRQS || (flags & ~known) !== 0) refuse("EINVAL");
    const vectors = this.count(index);
    if (start >= vectors || start + count > vectors) refuse("EINVAL");
    const kind = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    const width = ({
      [VFIO_IRQ_SET_DATA_NONE]: 0,
      [VFIO_IRQ_SET_DATA_BOOL]: 1,
      [VFIO_IRQ_SET_DATA_EVENTFD]: 4,
    } as Record<number, number>)[kind] ?? refuse("EINVAL");
    if (data.byteLength < count * width) refuse("EINVAL");
  }

  #connect(
    eventfds: Map<number, EventFile>,
    { start, count }: IrqRequest,
    data: DataView,
    fileOf: (fd: number) => unknown,
  ): void {
    const connected: [number, EventFile | undefined][] = [];
    for (let i = 0; i < count; i++) {
      const fd = data.getInt32(4 * i, true);
      const file = fd < 0 ? undefined : fileOf(fd);
      if (file !== undefined && !(file instanceof EventFile)) refuse("EINVAL");
      connected.push([start + i, file]);
    }
    for (const [vector, file] of connected) {
      if (file === undefined) eventfds.delete(vector);
      else eventfds.set(vector, file);
    }
  }

  #mask(index: number, action: number): void {
    if (index !== VFIO_PCI_INTX_IRQ_INDEX) refuse("ENOTTY");
    if (this.#eventfds[index]!.size === 0) refuse("EINVAL");
    this.#masked = action === VFIO_IRQ_SET_ACTION_MASK;
    // A line that is still asserted fires again at once.
    if (action === VFIO_IRQ_SET_ACTION_UNMASK) this.drive(this.#line);
  }

  #otherInUse(index: number): boolean {
    return [
      VFIO_PCI_INTX_IRQ_INDEX,
      VFIO_PCI_MSI_IRQ_INDEX,
      VFIO_PCI_MSIX_IRQ_INDEX,
    ].some((other) => other !== index && this.#eventfds[other]!.size > 0);
  }
}
