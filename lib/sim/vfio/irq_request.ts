import {
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_NUM_IRQS,
} from "../../uapi/vfio/all.ts";
import { refuse } from "../process/refusal.ts";

/** What VFIO_DEVICE_SET_IRQS asks for, without its data. */
export interface IrqRequest {
  /** One of `VFIO_IRQ_SET_DATA_*` and one of `VFIO_IRQ_SET_ACTION_*`. */
  readonly flags: number;
  /** `VFIO_PCI_*_IRQ_INDEX`. */
  readonly index: number;
  /** The first vector. */
  readonly start: number;
  /** How many vectors. */
  readonly count: number;
}

/** What the data says of each vector. */
export interface IrqData {
  /** What kind of data there is. */
  readonly kind: "none" | "bool" | "eventfd";
  /** How many vectors. */
  readonly length: number;
  /** Whether it is no data for no vector: what the index does is to end. */
  readonly isEmpty: boolean;
  /** Which of the vectors are meant; without data all are. */
  readonly bools: readonly boolean[];
  /** The descriptors, -1 for none. */
  readonly fds: readonly number[];
}

/**
 * What follows the struct of VFIO_DEVICE_SET_IRQS: EINVAL where that asks for
 * what is not there (`vfio_set_irqs_validate_and_prepare()` in
 * `drivers/vfio/vfio_main.c`).
 *
 * @param request The struct.
 * @param bytes What follows it.
 * @param vectors How many vectors the index has.
 */
export function irqData(
  { flags, index, start, count }: IrqRequest,
  bytes: DataView,
  vectors: number,
): IrqData {
  const known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
  if (index >= VFIO_PCI_NUM_IRQS || (flags & ~known) !== 0) refuse("EINVAL");
  if (start >= vectors || start + count > vectors) refuse("EINVAL");
  const each = <T>(datum: (i: number) => T) =>
    Array.from({ length: count }, (_, i) => datum(i));
  const assertRoom = (width: number) => {
    if (bytes.byteLength < count * width) refuse("EINVAL");
  };
  const nothing = { length: count, isEmpty: false, bools: [], fds: [] };
  switch (flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
    case VFIO_IRQ_SET_DATA_NONE: {
      const bools = each(() => true);
      return { ...nothing, kind: "none", isEmpty: count === 0, bools };
    }
    case VFIO_IRQ_SET_DATA_BOOL: {
      assertRoom(1);
      const bools = each((i) => bytes.getUint8(i) !== 0);
      return { ...nothing, kind: "bool", bools };
    }
    case VFIO_IRQ_SET_DATA_EVENTFD: {
      assertRoom(4);
      const fds = each((i) => bytes.getInt32(4 * i, true));
      return { ...nothing, kind: "eventfd", fds };
    }
    default:
      return refuse("EINVAL");
  }
}
