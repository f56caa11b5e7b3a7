import {
  vfio_device_ioeventfd,
  VFIO_DEVICE_IOEVENTFD_SIZE_MASK,
} from "../../uapi/vfio/all.ts";
import type { Bar } from "../models/model.ts";
import { received } from "../process/argument.ts";
import { EventFile } from "../process/event_file.ts";
import { refuse } from "../process/refusal.ts";

/** `VFIO_PCI_IOEVENTFD_MAX` */
const LIMIT = 1000;
/** `offsetofend(struct vfio_device_ioeventfd, fd)` */
const LEAST = 28;

/** A place in a BAR. */
export interface BarPlace {
  /** The BAR. */
  readonly bar: Bar;
  /** The offset of its MSI-X table's end; 0 where it has none. */
  readonly tableEnd: number;
  /** The offset in it, in bytes. */
  readonly at: number;
}

/** The writes that eventfds make (`vfio_pci_ioeventfd()`). */
export class IoEventFds {
  readonly #isDecoded: () => boolean;
  readonly #present = new Map<string, Disposable>();

  /** @param isDecoded Returns whether memory decoding is on. */
  constructor(isDecoded: () => boolean) {
    this.#isDecoded = isDecoded;
  }

  /**
   * Does VFIO_DEVICE_IOEVENTFD.
   *
   * @param argument Its struct.
   * @param placeOf Returns the place at an offset of the device's file. EINVAL
   * where it is in no BAR.
   * @param fileOf Returns the open file of a descriptor. EBADF without one.
   */
  set(
    argument: Uint8Array | bigint,
    placeOf: (offset: bigint) => BarPlace,
    fileOf: (fd: number) => unknown,
  ): void {
    const { flags, offset, data, fd } = received(
      vfio_device_ioeventfd,
      argument,
      LEAST,
    );
    const width = flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK;
    const isWidth = [1, 2, 4, 8].includes(width);
    if (flags !== width || !isWidth || fd < -1) refuse("EINVAL");
    const { bar, at, tableEnd } = placeOf(offset);
    if (at + width > bar.size || at < tableEnd) refuse("EINVAL");
    const key = `${offset} ${width} ${data}`;
    const present = this.#present.get(key);
    if (fd === -1) {
      if (present === undefined) return refuse("ENODEV");
      present[Symbol.dispose]();
      this.#present.delete(key);
      return;
    }
    if (present !== undefined) refuse("EEXIST");
    if (this.#present.size >= LIMIT) refuse("ENOSPC");
    const file = fileOf(fd);
    if (!(file instanceof EventFile)) return refuse("EINVAL");
    const value = BigInt.asUintN(8 * width, data);
    const write = () => {
      if (bar.io || this.#isDecoded()) bar.write(at, width, value);
    };
    this.#present.set(key, file.listen(write));
    // What was signalled before counts too, and stays to be read.
    if (file.isSignalled) write();
  }

  /** Takes all away. */
  clear(): void {
    for (const present of this.#present.values()) present[Symbol.dispose]();
    this.#present.clear();
  }
}
