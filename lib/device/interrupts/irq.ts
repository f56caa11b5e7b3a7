import { toVfioError } from "../../errors.ts";
import {
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
} from "../../uapi/vfio/device.ts";
import type { IrqDevice } from "./irq_device.ts";
import { type IrqInfo, irqSet, type VectorRange } from "./irq_set.ts";
import type { IrqVector } from "./irq_vector.ts";
import { unsupported } from "./refusal.ts";
import { VectorTable } from "./vector_table.ts";

/** How vectors are enabled. */
export interface EnableOptions {
  /**
   * How many vectors will do where the host has fewer than asked for. Without
   * interrupt remapping it has one of MSI. Default: all.
   */
  readonly least?: number;
}

/** What an `Irq` needs of the others of its device. */
export interface IrqPeers {
  /** Does work once the others' is over. */
  take<T>(work: () => Promise<T>): Promise<T>;
  /** An enabled one that excludes this one, if there is one. */
  inTheWayOf(irq: Irq): Irq | undefined;
}

/**
 * A kind of interrupt of a device: MSI-X, its line, its errors. Each vector is
 * connected to an eventfd of its own: {@linkcode IrqVector}. They are disabled
 * with the device's detach at the latest.
 *
 * A PCI function has one of INTx, MSI and MSI-X enabled at a time. Its messages
 * (MSI and MSI-X) are writes to memory: they need
 * `device.setBusMaster(true)`.
 *
 * @example Eight vectors, and one interrupt
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * const msix = device.irq("msix");
 * const vectors = await msix.enable(8);
 * msix.trigger(3);
 * console.log(await vectors[3]!.next()); // => 1
 * ```
 */
export class Irq {
  readonly #device: IrqDevice;
  readonly #peers: IrqPeers;
  readonly #flags: number;
  readonly #table: VectorTable;
  /** Whether an eventfd unmasks it. */
  #hasUnmasker = false;
  /** Its number: `VFIO_PCI_*_IRQ_INDEX`, or that of another bus. */
  readonly index: number;
  /** `"intx"`, `"msi"`, `"msix"`, `"error"`, `"request"`; or `"irq 5"`. */
  readonly name: string;
  /** How many vectors it has. */
  readonly count: number;

  /** Made by `VfioDevice.irq`. */
  constructor(
    device: IrqDevice,
    peers: IrqPeers,
    index: number,
    name: string,
    { flags, count }: IrqInfo,
  ) {
    this.#device = device;
    this.#peers = peers;
    this.#flags = flags;
    this.index = index;
    this.name = name;
    this.count = count;
    this.#table = new VectorTable(device, this);
  }

  /** Whether it signals eventfds. Without, it cannot be enabled. */
  get signalsEventfds(): boolean {
    return this.#has(VFIO_IRQ_INFO_EVENTFD);
  }

  /** Whether it can be masked. */
  get maskable(): boolean {
    return this.#has(VFIO_IRQ_INFO_MASKABLE);
  }

  /**
   * Whether it is masked when it fires, as a line is: clear its cause in the
   * device, then {@linkcode Irq.unmask} it.
   */
  get automasked(): boolean {
    return this.#has(VFIO_IRQ_INFO_AUTOMASKED);
  }

  /**
   * Whether more vectors can be had than were enabled first. Linux has that for
   * MSI-X, from 6.5 on.
   */
  get resizable(): boolean {
    return !this.#has(VFIO_IRQ_INFO_NORESIZE);
  }

  /** Whether it is enabled. */
  get enabled(): boolean {
    return this.#table.isEnabled;
  }

  /** The vectors that are connected, in their order. */
  get vectors(): readonly IrqVector[] {
    return [...this.#table.connected.values()]
      .sort((a, b) => a.index - b.index);
  }

  /**
   * Enables vectors, and connects each to an eventfd.
   *
   * @param vectors How many, from the first on; or which ones, and the host
   * allocates those before them, too. Default: 1.
   * @param options How many will do where the host has fewer.
   * @returns The vectors, in their order.
   * @throws {RangeError} If there are not so many.
   * @throws {VfioError} `NOT_SUPPORTED` if it is enabled already or another
   * kind is that excludes it, or the host has no line for it;
   * `VECTORS_EXHAUSTED` if the host has fewer vectors; `DEVICE_BUSY` if another
   * device has the line; `DETACHED`, `KERNEL`. Nothing is enabled then.
   */
  async enable(
    vectors: number | VectorRange = 1,
    { least }: EnableOptions = {},
  ): Promise<IrqVector[]> {
    const range = this.#range(vectors);
    return await this.#peers.take(async () => {
      this.#assertCanBeEnabled();
      return await this.#table.enable(
        range,
        least ?? range.count,
        () => this.#release(),
      );
    });
  }

  /**
   * Changes how many vectors are connected, from the first on, while others are
   * in use. Those that stay lose no interrupt.
   *
   * @param count How many.
   * @returns All that are connected.
   * @throws {RangeError} If there are not so many.
   * @throws {VfioError} `NOT_SUPPORTED` if it is not enabled, or has no more
   * vectors than were enabled first ({@linkcode Irq.resizable});
   * `VECTORS_EXHAUSTED`, `DETACHED`, `KERNEL`. It stays as it was then.
   */
  async resize(count: number): Promise<readonly IrqVector[]> {
    const range = this.#range(count);
    return await this.#peers.take(async () => {
      await this.#table.connect(range);
      await this.#table.disconnect({ start: count, count: this.count - count });
      return this.vectors;
    });
  }

  /**
   * Connects further vectors while others are in use.
   *
   * @param range Which ones. Those that are connected stay so.
   * @returns All that are connected.
   * @throws {RangeError} If there are none such.
   * @throws {VfioError} As {@linkcode Irq.resize}.
   */
  async connect(range: VectorRange): Promise<readonly IrqVector[]> {
    this.#range(range);
    return await this.#peers.take(async () => {
      await this.#table.connect(range);
      return this.vectors;
    });
  }

  /**
   * Disconnects vectors while others are in use. The host keeps them allocated
   * until {@linkcode Irq.disable}.
   *
   * @param range Which ones.
   * @throws {RangeError} If there are none such.
   * @throws {VfioError} `NOT_SUPPORTED` if it is not enabled, `DETACHED`,
   * `KERNEL`.
   */
  async disconnect(range: VectorRange): Promise<void> {
    this.#range(range);
    await this.#peers.take(() => this.#table.disconnect(range));
  }

  /**
   * Disables it: its vectors are gone, and another kind can be enabled. It does
   * nothing where it is not enabled.
   *
   * @throws {VfioError} `DETACHED`, or `KERNEL`; it is enabled still then.
   */
  async disable(): Promise<void> {
    await this.#peers.take(async () => {
      await this.#table.disable();
      this.#hasUnmasker = false;
    });
  }

  /**
   * Masks it: it is held back until {@linkcode Irq.unmask}.
   *
   * @param vector Its number among those of this kind.
   * @throws {VfioError} `NOT_SUPPORTED` if it cannot be masked, or is not
   * enabled; `DETACHED`, `KERNEL`.
   */
  mask(vector = 0): void {
    this.#assertMaskable("mask");
    this.#act(VFIO_IRQ_SET_ACTION_MASK, "mask", vector);
  }

  /**
   * Unmasks it. Where the device still has a cause for it, it fires again at
   * once.
   *
   * @param vector Its number among those of this kind.
   * @throws {VfioError} `NOT_SUPPORTED` if it cannot be masked, or is not
   * enabled; `DETACHED`, `KERNEL`.
   */
  unmask(vector = 0): void {
    this.#assertMaskable("unmask");
    this.#act(VFIO_IRQ_SET_ACTION_UNMASK, "unmask", vector);
  }

  /**
   * Has an eventfd unmask it whenever that is signalled, as KVM does by its
   * resample eventfd. Nobody else can read it: the kernel takes its count.
   *
   * @param eventfd The eventfd, in place of the one before; `undefined` for
   * none. Closing it ends this, too.
   * @throws {TypeError} If it is the eventfd that this interrupt signals.
   * @throws {VfioError} `NOT_SUPPORTED` if it cannot be masked, or is not
   * enabled; `DETACHED`, `KERNEL`.
   */
  unmaskOn(eventfd: number | undefined): void {
    this.#assertMaskable("unmask");
    const { fd } = this.#table;
    if (this.vectors.some((vector) => vector.fd === eventfd)) {
      throw new TypeError(
        `Cannot unmask ${this.name} by the eventfd that it signals`,
      );
    }
    const set = (eventfd: number) =>
      fd.ioctl(
        VFIO_DEVICE_SET_IRQS,
        irqSet(this.index, VFIO_IRQ_SET_ACTION_UNMASK, FIRST, [eventfd]),
      );
    try {
      // A second one is refused.
      if (this.#hasUnmasker) set(-1);
      this.#hasUnmasker = false;
      if (eventfd === undefined) return;
      set(eventfd);
      this.#hasUnmasker = true;
    } catch (error) {
      throw this.#error(error, `unmask ${this.name} on an eventfd`);
    }
  }

  /**
   * Signals a vector's eventfd as if the device had fired it, to test what
   * waits for it.
   *
   * @param vector Its number among those of this kind.
   * @throws {RangeError} If there is no such vector.
   * @throws {VfioError} `NOT_SUPPORTED` if it is not connected; `DETACHED`,
   * `KERNEL`.
   */
  trigger(vector = 0): void {
    this.#range({ start: vector, count: 1 });
    if (this.enabled && !this.#table.connected.has(vector)) {
      throw unsupported(
        this.#device.name,
        `vector ${vector} of ${this.name} is not connected`,
        `connect it: device.irq("${this.name}").connect`,
      );
    }
    this.#act(VFIO_IRQ_SET_ACTION_TRIGGER, "trigger", vector);
  }

  #act(action: number, verb: string, vector: number): void {
    const { fd } = this.#table;
    const range = this.#range({ start: vector, count: 1 });
    try {
      fd.ioctl(VFIO_DEVICE_SET_IRQS, irqSet(this.index, action, range));
    } catch (error) {
      throw this.#error(error, `${verb} vector ${vector} of ${this.name}`);
    }
  }

  /** Ends it when its device is detached. */
  async #release(): Promise<void> {
    await this.#peers.take(() => this.#table.release());
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  /** Checks vectors. */
  #range(vectors: number | VectorRange): VectorRange {
    const { start, count } = typeof vectors === "number"
      ? { start: 0, count: vectors }
      : vectors;
    const isRange = Number.isInteger(start) && Number.isInteger(count) &&
      start >= 0 && count > 0 && start + count <= this.count;
    if (isRange) return { start, count };
    throw new RangeError(
      `Cannot take ${count} vectors of ${this.name} from ${start} on: there ` +
        `are ${this.count}`,
    );
  }

  #assertCanBeEnabled(): void {
    const { name: device } = this.#device;
    if (this.enabled) {
      throw unsupported(
        device,
        `${this.name} is enabled already`,
        "resize it, or disable it before",
      );
    }
    if (!this.signalsEventfds) {
      throw unsupported(device, `${this.name} signals no eventfds`);
    }
    const other = this.#peers.inTheWayOf(this);
    if (other === undefined) return;
    throw unsupported(
      device,
      `${this.name} cannot be enabled while ${other.name} is`,
      `disable that before: device.irq("${other.name}").disable`,
    );
  }

  #assertMaskable(verb: string): void {
    if (this.maskable) return;
    throw unsupported(
      this.#device.name,
      `${this.name} cannot be ${verb}ed: the kernel masks lines only`,
      "keep the device from interrupting by its own registers",
    );
  }

  #error(error: unknown, doing: string): unknown {
    return toVfioError(error, doing, this.#device.name);
  }
}

/** The vector of an index that has only that one. */
const FIRST: VectorRange = { start: 0, count: 1 };
