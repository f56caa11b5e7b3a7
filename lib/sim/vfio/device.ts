/**
 * What VFIO made of a device that is bound to a VFIO driver
 * (`drivers/vfio/vfio_main.c`): its number, and who has it open.
 */
export class VfioDevice {
  /** The number in `vfio0`. */
  readonly number: number;
  /** Whether iommufd takes it though no IOMMU isolates it. */
  readonly noIommu: boolean;
  /** Whether it can be opened: its driver has not let go of it. */
  registered = true;
  /** How many of its files may use it: with the first it is enabled. */
  users = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #ask: () => void;
  #files = 0;

  /**
   * A device that nobody has open.
   *
   * @param number The number in `vfio0`.
   * @param noIommu Whether iommufd takes it though no IOMMU isolates it.
   * @param ask Asks user space to give it back.
   */
  constructor(number: number, noIommu: boolean, ask: () => void) {
    this.number = number;
    this.noIommu = noIommu;
    this.#ask = ask;
  }

  /** Its name in sysfs. */
  get name(): string {
    return `${this.noIommu ? "noiommu-" : ""}vfio${this.number}`;
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
    this.#ask();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }
}
