import { toVfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Irq } from "./irq.ts";
import type { IrqDevice } from "./irq_device.ts";
import { IrqEvents } from "./irq_events.ts";
import { excludesOthers, type IrqName, irqNames } from "./irq_names.ts";
import { type IrqInfo, readIrqInfo } from "./irq_set.ts";
import { unsupported } from "./refusal.ts";
import { Turns } from "./turns.ts";

/** The interrupts of a device, each kind made when it is first asked for. */
export class Interrupts {
  readonly #device: IrqDevice;
  readonly #names: readonly IrqName[];
  readonly #turns = new Turns();
  readonly #irqs = new Map<number, Irq | undefined>();
  /** The requests of the kernel to have the device back. */
  readonly requests: IrqEvents;
  /** The errors that the device reports. */
  readonly errors: IrqEvents;

  /** @param device The device. */
  constructor(device: IrqDevice) {
    this.#device = device;
    this.#names = irqNames(device.info.api);
    this.requests = new IrqEvents(() => this.get("request"));
    this.errors = new IrqEvents(() => this.get("error"));
  }

  /** All kinds that there are, by their indexes. */
  get all(): readonly Irq[] {
    return Array.from({ length: this.#device.info.irqs }, (_, i) => this.#at(i))
      .filter((irq) => irq !== undefined);
  }

  /**
   * One of them: `VfioDevice.irq`.
   *
   * @param which Its name or index.
   */
  get(which: IrqName | number): Irq {
    const index = typeof which === "number" ? which : this.#indexOf(which);
    const { name, info } = this.#device;
    if (!Number.isInteger(index) || index < 0 || index >= info.irqs) {
      throw new RangeError(
        `Cannot take interrupts ${index}: the device has ${info.irqs} kinds`,
      );
    }
    return this.#at(index) ?? this.#refuse(name, this.#nameOf(index));
  }

  #indexOf(which: IrqName): number {
    const index = this.#names.indexOf(which);
    if (index >= 0) return index;
    if (
      irqNames("pci").concat(irqNames("ccw"), irqNames("ap"))
        .includes(which)
    ) this.#refuse(this.#device.name, which);
    throw new TypeError(
      `Cannot take interrupts ${JSON.stringify(which)}: expected ` +
        (this.#names.length === 0 ? "an index" : this.#names.join(", ")),
    );
  }

  #refuse(device: string, which: string): never {
    const { all } = this;
    throw unsupported(
      device,
      `it has no ${which} interrupts`,
      all.length === 0
        ? undefined
        : `it has ${all.map(({ name }) => name).join(", ")}`,
    );
  }

  #nameOf(index: number): string {
    return this.#names[index] ?? `irq ${index}`;
  }

  #at(index: number): Irq | undefined {
    if (this.#irqs.has(index)) return this.#irqs.get(index);
    const info = this.#read(index);
    const irq = info === undefined || info.count === 0 ? undefined : new Irq(
      this.#device,
      {
        take: (work) => this.#turns.take(work),
        inTheWayOf: (irq) => this.#inTheWayOf(irq),
      },
      index,
      this.#nameOf(index),
      info,
    );
    this.#irqs.set(index, irq);
    return irq;
  }

  #read(index: number): IrqInfo | undefined {
    try {
      return readIrqInfo(this.#device.handle, index);
    } catch (error) {
      // Before Linux 6.18 a conventional PCI function has no errors.
      if (hasErrno(error, "EINVAL")) return undefined;
      const doing = `read the info of ${this.#nameOf(index)}`;
      throw toVfioError(error, doing, this.#device.name);
    }
  }

  #inTheWayOf(irq: Irq): Irq | undefined {
    if (!excludesOthers(irq.name)) return undefined;
    return [...this.#irqs.values()].find((other) =>
      other !== undefined && other !== irq && other.enabled &&
      excludesOthers(other.name)
    );
  }
}
