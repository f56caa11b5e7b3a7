import type { Device } from "./bus.ts";

/**
 * What VFIO made of a device that is bound to a VFIO driver
 * (`drivers/vfio/vfio_main.c`): its number, and who has it open.
 */
export class VfioDevice {
  /** The device. */
  readonly device: Device;
  /** The number in `vfio0`. */
  readonly number: number;
  /** Whether it is bound to an iommufd. */
  bound = false;
  readonly #waiting: (() => void)[] = [];
  #files = 0;

  /**
   * A device that nobody has open.
   *
   * @param device The device.
   * @param number The number in `vfio0`.
   */
  constructor(device: Device, number: number) {
    this.device = device;
    this.number = number;
  }

  /** Its name in sysfs. */
  get name(): string {
    return `vfio${this.number}`;
  }

  /** How many of its files are open. */
  get files(): number {
    return this.#files;
  }

  /** Whether any of its files is open. */
  get isOpen(): boolean {
    return this.#files > 0;
  }

  /** A file of it was opened. */
  opened(): void {
    this.#files++;
  }

  /** A file of it was closed. */
  closed(): void {
    if (--this.#files > 0) return;
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Asks for the device, and waits until the last of its files is closed. */
  requested(): Promise<void> {
    this.device.core.interrupts.request();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }
}
