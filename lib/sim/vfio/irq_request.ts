import {
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_NUM_IRQS,
} from "../../uapi/vfio/all.ts";
import { refuse } from "../process/refusal.ts";

/** The arguments of VFIO_DEVICE_SET_IRQS, without its data. */
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

/** The data of a request, by vector. */
export interface IrqData {
  /** The kind of data. */
  readonly kind: "none" | "bool" | "eventfd";
  /** How many vectors. */
  readonly length: number;
  /** Whether it has no data and no vectors, which disables the index. */
  readonly isEmpty: boolean;
  /** Which of the vectors are affected; without data, all are. */
  readonly bools: readonly boolean[];
  /** The descriptors, -1 for none. */
  readonly fds: readonly number[];
}

/**
 * Decodes the data after the struct of VFIO_DEVICE_SET_IRQS. EINVAL for vectors
 * or data that are not there (`vfio_set_irqs_validate_and_prepare()` in
 * `drivers/vfio/vfio_main.c`).
 *
 * @param request The struct.
 * @param bytes The bytes after it.
 * @param vectors The number of vectors of the index.
 */
export function irqData(
  { flags, index, start, count }: IrqRequest,
  bytes: DataView,
  vectors: number,
): IrqData {
  const knownFlags = VFIO_IRQ_SET_DATA_TYPE_MASK |
    VFIO_IRQ_SET_ACTION_TYPE_MASK;
  if (index >= VFIO_PCI_NUM_IRQS || (flags & ~knownFlags) !== 0) {
    refuse("EINVAL");
  }
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
