import {
  VFIO_DEVICE_GET_IRQ_INFO,
  vfio_irq_info,
  vfio_irq_set,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
} from "../../uapi/vfio/device.ts";
import type { Fd } from "../../kernel/fd.ts";

/** Some vectors of an index, side by side. */
export interface VectorRange {
  /** The first vector. */
  readonly start: number;
  /** How many there are. */
  readonly count: number;
}

/** What the kernel says of an index of interrupts. */
export interface IrqInfo {
  /** `VFIO_IRQ_INFO_*` bits. */
  readonly flags: number;
  /** How many vectors there are. */
  readonly count: number;
}

/**
 * Asks what an index of interrupts is.
 *
 * @param fd The device.
 * @param index The index.
 * @throws {KernelError} `EINVAL` where the device has no such index.
 */
export function readIrqInfo(fd: Fd, index: number): IrqInfo {
  const bytes = vfio_irq_info.alloc({ argsz: vfio_irq_info.size, index });
  fd.ioctl(VFIO_DEVICE_GET_IRQ_INFO, bytes);
  return vfio_irq_info.decode(bytes);
}

/**
 * The argument of VFIO_DEVICE_SET_IRQS.
 *
 * @param index The index.
 * @param action `VFIO_IRQ_SET_ACTION_*`.
 * @param range The vectors.
 * @param fds An eventfd for each, -1 for none. Without them the action is for
 * the vectors as they are.
 */
export function irqSet(
  index: number,
  action: number,
  { start, count }: VectorRange,
  fds?: readonly number[],
): Uint8Array {
  const data = new Int32Array(fds ?? []);
  const head = vfio_irq_set.offset.data;
  const argsz = head + data.byteLength;
  const kind = fds === undefined
    ? VFIO_IRQ_SET_DATA_NONE
    : VFIO_IRQ_SET_DATA_EVENTFD;
  const flags = kind | action;
  const bytes = new Uint8Array(argsz);
  const fields = vfio_irq_set.alloc({ argsz, flags, index, start, count });
  // The struct's padding at its end is where the data begins.
  bytes.set(fields.subarray(0, head));
  bytes.set(new Uint8Array(data.buffer), head);
  return bytes;
}
