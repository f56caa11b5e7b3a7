import { toVfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import type { Fd } from "../../kernel/fd.ts";
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
  readonly #irqs = new Map<number, Irq>();
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
    const { handle, info } = this.#device;
    return Array.from({ length: info.irqs }, (_, i) => this.#at(i, handle))
      .filter((irq) => irq !== undefined);
  }

  /**
   * One of them: `VfioDevice.irq`.
   *
   * @param which Its name or index.
   */
  get(which: IrqName | number): Irq {
    const index = typeof which === "number" ? which : this.#indexOf(which);
    const { name, info, handle } = this.#device;
    if (!Number.isInteger(index) || index < 0 || index >= info.irqs) {
      throw new RangeError(
        `Cannot take interrupts ${index}: the device has ${info.irqs} kinds`,
      );
    }
    return this.#at(index, handle) ?? this.#refuse(name, this.#nameOf(index));
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

  #at(index: number, fd: Fd): Irq | undefined {
    const present = this.#irqs.get(index);
    if (present !== undefined) return present;
    const info = this.#read(index, fd);
    if (info === undefined || info.count === 0) return undefined;
    const peers = {
      take: <T>(work: () => Promise<T>) => this.#turns.take(work),
      inTheWayOf: (irq: Irq) => this.#inTheWayOf(irq),
    };
    const name = this.#nameOf(index);
    const irq = new Irq(this.#device, peers, index, name, info);
    this.#irqs.set(index, irq);
    return irq;
  }

  #read(index: number, fd: Fd): IrqInfo | undefined {
    try {
      return readIrqInfo(fd, index);
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
      other !== irq && other.enabled && excludesOthers(other.name)
    );
  }
}
