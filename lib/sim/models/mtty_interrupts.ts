import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
} from "../../uapi/vfio/all.ts";
import { EventFile } from "../process/event_file.ts";
import { refuse } from "../process/refusal.ts";
import type { IrqData, IrqRequest } from "../vfio/irq_request.ts";

/** The interrupt of a simulated mtty: INTx, or one MSI (`mtty_set_irqs()`). */
export class MttyInterrupts {
  #eventfd: EventFile | undefined;
  /** The index that is on. */
  #index: number | undefined;
  #masked = false;

  /** Sends the interrupt. INTx is masked by it. */
  fire(): void {
    if (this.#masked) return;
    this.#masked = this.#index === VFIO_PCI_INTX_IRQ_INDEX;
    this.#eventfd?.signal();
  }

  /** Disconnects it. */
  clear(): void {
    this.#eventfd = this.#index = undefined;
    this.#masked = false;
  }

  /** Does VFIO_DEVICE_SET_IRQS. */
  set(
    { flags, index, start, count }: IrqRequest,
    data: IrqData,
    fileOf: (fd: number) => unknown,
  ): void {
    if (index > VFIO_PCI_MSI_IRQ_INDEX) refuse("ENOTTY");
    const action = flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const isOn = this.#index === index;
    if (action === VFIO_IRQ_SET_ACTION_TRIGGER) {
      if (isOn && data.isEmpty) return this.clear();
      const isFree = isOn || this.#index === undefined;
      if (!isFree || start !== 0 || count !== 1) refuse("EINVAL");
      if (data.kind === "eventfd") return this.#connect(index, data, fileOf);
      if (!isOn) refuse("EINVAL");
      if (data.bools[0]) this.fire();
      return;
    }
    const masks = action === VFIO_IRQ_SET_ACTION_MASK;
    if (!masks && action !== VFIO_IRQ_SET_ACTION_UNMASK) return;
    if (index === VFIO_PCI_MSI_IRQ_INDEX) refuse("ENOTTY");
    if (!isOn || start !== 0 || count !== 1) refuse("EINVAL");
    if (data.kind === "eventfd") refuse("ENOTTY");
    if (data.bools[0]) this.#masked = masks;
  }

  #connect(
    index: number,
    { fds }: IrqData,
    fileOf: (fd: number) => unknown,
  ): void {
    this.clear();
    const fd = fds[0]!;
    if (fd < 0) return;
    const file = fileOf(fd);
    if (!(file instanceof EventFile)) refuse("EINVAL");
    this.#eventfd = file as EventFile;
    this.#index = index;
  }
}
