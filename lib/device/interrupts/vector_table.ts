import { toVfioError, VfioError } from "../../errors.ts";
import { KernelError } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../../uapi/linux/eventfd.ts";
import {
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TRIGGER,
} from "../../uapi/vfio/device.ts";
import type { IrqDevice } from "./irq_device.ts";
import { irqSet, type VectorRange } from "./irq_set.ts";
import { CLOSE, IrqVector } from "./irq_vector.ts";
import { enableError, unsupported } from "./refusal.ts";

/** The index that a table is of. */
interface Index {
  /** Its number. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** How many vectors it has. */
  readonly count: number;
  /** Whether more can be had than were enabled first. */
  readonly resizable: boolean;
}

const NO_VECTORS: VectorRange = { start: 0, count: 0 };

/** The vectors of an index that are connected to eventfds. */
export class VectorTable {
  readonly #device: IrqDevice;
  readonly #of: Index;
  readonly #vectors = new Map<number, IrqVector>();
  /** The device's descriptor while the index is enabled. */
  #fd: Fd | undefined;
  #released = () => {};
  /** How many vectors can be connected without disabling the index before. */
  #capacity = 0;

  /**
   * @param device The device.
   * @param of The index.
   */
  constructor(device: IrqDevice, of: Index) {
    this.#device = device;
    this.#of = of;
  }

  /** Whether the index is enabled. */
  get isEnabled(): boolean {
    return this.#fd !== undefined;
  }

  /** The connected vectors, by their numbers. */
  get connected(): ReadonlyMap<number, IrqVector> {
    return this.#vectors;
  }

  /**
   * The device's descriptor, where the index is enabled.
   *
   * @throws {VfioError} `NOT_SUPPORTED` where it is not, `DETACHED`.
   */
  get fd(): Fd {
    const { handle, name: device } = this.#device;
    if (this.isEnabled) return handle;
    const { name } = this.#of;
    throw unsupported(
      device,
      `${name} is not enabled`,
      `enable it: device.irq("${name}").enable`,
    );
  }

  /**
   * Enables the index, and connects vectors.
   *
   * @param range The vectors.
   * @param least How many will do.
   * @param release Releases it when the device is detached.
   */
  async enable(
    range: VectorRange,
    least: number,
    release: () => Promise<void>,
  ): Promise<IrqVector[]> {
    const { name } = this.#of;
    const fd = this.#device.handle;
    const released = this.#device.hold(`the ${name} interrupts`, release);
    try {
      const vectors = await this.#enableSome(fd, range, least);
      this.#fd = fd;
      this.#released = released;
      this.#capacity = this.#of.resizable
        ? this.#of.count
        : range.start + vectors.length;
      this.#add(vectors);
      return vectors;
    } catch (error) {
      released();
      throw enableError(error, `enable ${name}`, this.#device.name);
    }
  }

  /** Enables as many vectors as the host has. */
  async #enableSome(
    fd: Fd,
    { start, count }: VectorRange,
    least: number,
  ): Promise<IrqVector[]> {
    for (let wanted = count;;) {
      const vectors = this.#make({ start, count: wanted });
      let answer: number;
      try {
        answer = await this.#set(fd, { start, count: wanted }, fdsOf(vectors));
      } catch (error) {
        await closeAll(vectors);
        throw error;
      }
      if (answer === 0) return vectors;
      await closeAll(vectors);
      // So many vectors can be had, and none is enabled (vfio_msi_enable()).
      const offered = answer - start;
      if (offered < least || offered >= wanted) {
        throw this.#exhausted(start + count, answer);
      }
      wanted = offered;
    }
  }

  #exhausted(wanted: number, offered: number): VfioError {
    const { name } = this.#of;
    return new VfioError("VECTORS_EXHAUSTED", {
      device: this.#device.name,
      problem: `cannot enable ${wanted} vectors of ${name}: the host has ` +
        `${offered} for it`,
      hint: `enable fewer, or say how many will do: enable(${wanted}, ` +
        `{ least: ${offered} })`,
    });
  }

  /** Connects those of the vectors that are not connected, or none. */
  async connect({ start, count }: VectorRange): Promise<void> {
    const { fd } = this;
    const { name } = this.#of;
    if (start + count > this.#capacity) {
      throw unsupported(
        this.#device.name,
        `${name} has ${this.#capacity} vectors enabled, and takes more only ` +
          "while it is disabled",
        "disable it, and enable as many as will be needed; what fires " +
          "meanwhile is lost",
      );
    }
    const added: IrqVector[] = [];
    try {
      for (const range of this.#missing(start, start + count)) {
        const vectors = this.#make(range);
        added.push(...vectors);
        await this.#set(fd, range, fdsOf(vectors));
      }
      this.#add(added);
    } catch (error) {
      for (const { index } of added) await this.#cut(fd, index);
      await closeAll(added);
      throw enableError(
        error,
        `connect vectors of ${name}`,
        this.#device.name,
      );
    }
  }

  /** Takes back what was connected before the next one was refused. */
  async #cut(fd: Fd, index: number): Promise<void> {
    try {
      await this.#set(fd, { start: index, count: 1 }, [-1]);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  /** The vectors from `start` to `end` that are not connected. */
  *#missing(start: number, end: number): Generator<VectorRange> {
    for (let first = start, at = start; at <= end; at++) {
      if (at < end && !this.#vectors.has(at)) continue;
      if (at > first) yield { start: first, count: at - first };
      first = at + 1;
    }
  }

  /** Disconnects those of the vectors that are connected. */
  async disconnect({ start, count }: VectorRange): Promise<void> {
    const { fd } = this;
    const vectors = [...this.#vectors.values()].filter(({ index }) =>
      index >= start && index < start + count
    );
    if (vectors.length === 0) return;
    const first = Math.min(...vectors.map(({ index }) => index));
    const last = Math.max(...vectors.map(({ index }) => index));
    const range = { start: first, count: last - first + 1 };
    const none = Array<number>(range.count).fill(-1);
    try {
      await this.#set(fd, range, none);
    } catch (error) {
      const { name } = this.#of;
      const doing = `disconnect vectors of ${name}`;
      throw toVfioError(error, doing, this.#device.name);
    }
    for (const { index } of vectors) this.#vectors.delete(index);
    await closeAll(vectors);
  }

  /** Disables the index. */
  async disable(): Promise<void> {
    if (!this.isEnabled) return;
    const { fd } = this;
    try {
      await this.#set(fd, NO_VECTORS);
    } catch (error) {
      const doing = `disable ${this.#of.name}`;
      throw toVfioError(error, doing, this.#device.name);
    }
    await this.#close();
  }

  /**
   * Disables the index as the device is detached. It cannot fail: closing the
   * device disables all.
   */
  async release(): Promise<void> {
    if (this.#fd === undefined) return;
    try {
      await this.#set(this.#fd, NO_VECTORS);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#fd = undefined;
    const vectors = [...this.#vectors.values()];
    this.#vectors.clear();
    this.#released();
    await closeAll(vectors);
  }

  async #set(
    fd: Fd,
    range: VectorRange,
    fds?: readonly number[],
  ): Promise<number> {
    const { index } = this.#of;
    const set = irqSet(index, VFIO_IRQ_SET_ACTION_TRIGGER, range, fds);
    // It waits while the device is being reset.
    return await fd.ioctlAsync(VFIO_DEVICE_SET_IRQS, set);
  }

  /** Makes vectors with eventfds that nothing signals. */
  #make({ start, count }: VectorRange): IrqVector[] {
    const { kernel } = this.#device;
    const { name } = this.#of;
    const vectors: IrqVector[] = [];
    try {
      for (let index = start; index < start + count; index++) {
        const fd = kernel.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        const eventfd = Fd.adopt(kernel, fd);
        vectors.push(new IrqVector(this.#device, name, index, eventfd));
      }
      return vectors;
    } catch (error) {
      for (const vector of vectors) vector[CLOSE]();
      throw error;
    }
  }

  #add(vectors: readonly IrqVector[]): void {
    for (const vector of vectors) this.#vectors.set(vector.index, vector);
  }
}

function fdsOf(vectors: readonly IrqVector[]): number[] {
  return vectors.map(({ fd }) => fd);
}

async function closeAll(vectors: readonly IrqVector[]): Promise<void> {
  const closing = vectors.map((vector) => vector[CLOSE]())
    .filter((closed) => closed !== undefined);
  // Where nobody has waited for them, nothing takes time.
  if (closing.length > 0) await Promise.all(closing);
}
