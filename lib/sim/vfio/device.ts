/** How often user space is asked, in milliseconds: `vfio_unregister_group_dev()`. */
const REQUEST_INTERVAL = 10_000;

/**
 * The VFIO device of a device that is bound to a VFIO driver
 * (`drivers/vfio/vfio_main.c`): its number, and its open files.
 */
export class VfioDevice {
  /** The number in `vfio0`. */
  readonly number: number;
  /** Whether iommufd accepts it although no IOMMU isolates it. */
  readonly noIommu: boolean;
  /**
   * Whether it can be opened. It cannot be once its driver is being unbound.
   */
  registered = true;
  /** How many of its files use it. The first one enables it. */
  users = 0;
  /**
   * The secret that users of its virtual functions have to know. Until somebody
   * sets one, the kernel has one that nobody knows.
   */
  vfToken: Uint8Array | undefined;
  readonly #waiting: (() => void)[] = [];
  readonly #askForRelease: () => void;
  #files = 0;

  /**
   * Makes a device without open files.
   *
   * @param number The number in `vfio0`.
   * @param noIommu Whether iommufd accepts it although no IOMMU isolates it.
   * @param ask Asks user space to release it.
   */
  constructor(number: number, noIommu: boolean, ask: () => void) {
    this.number = number;
    this.noIommu = noIommu;
    this.#askForRelease = ask;
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

  /** Counts an opened file. */
  opened(): void {
    this.#files++;
  }

  /** Counts a closed file. */
  closed(): void {
    if (--this.#files > 0) return;
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /**
   * Asks user space to release the device, at once and then every ten seconds,
   * and waits until the last of its files is closed.
   */
  requested(): Promise<void> {
    this.#askForRelease();
    const { promise, resolve } = Promise.withResolvers<void>();
    const again = setInterval(this.#askForRelease, REQUEST_INTERVAL);
    // The process can end while a driver is being unbound.
    Deno.unrefTimer(again);
    this.#waiting.push(() => {
      clearInterval(again);
      resolve();
    });
    return promise;
  }
}
