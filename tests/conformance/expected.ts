/**
 * The answers in which kernel versions differ.
 *
 * @module
 */
import { since } from "./bench.ts";

/** The answers of a kernel where others answer differently. */
export interface Expected {
  /** VFIO_GROUP_SET_CONTAINER with a file that is not a container. */
  readonly noContainer: string;
  /** VFIO_DEVICE_GET_IRQ_INFO: flags of MSI-X where there is none. */
  readonly noMsix: number;
  /** VFIO_DEVICE_GET_IRQ_INFO: flags of MSI-X. */
  readonly msix: number;
  /**
   * VFIO_DEVICE_GET_IRQ_INFO: error interrupts of a conventional function, how
   * many and their flags.
   */
  readonly errorsOfConventional: string | readonly number[];
  /** VFIO_DEVICE_SET_IRQS: the error interrupt of a conventional function. */
  readonly errorOfConventional: string | undefined;
  /** VFIO_DEVICE_SET_IRQS: MSI-X vectors beyond those that are enabled. */
  readonly moreVectors: string | undefined;
  /** The widest access that a read or a write makes to a register, in bytes. */
  readonly widestAccess: 4 | 8;
  /** VFIO_DEVICE_FEATURE: what a kernel answers of dma-bufs of BARs. */
  readonly dmaBuf: "ENOTTY" | undefined;
  /** A DMA mapping whose last byte is beyond 2^64 - 1. */
  readonly wraps: string;
}

/** Returns the answers of a kernel release. */
export function expectedOf(release: string): Expected {
  const linux = (major: number, minor: number) => since(release, major, minor);
  return {
    noContainer: linux(6, 2) ? "EBADFD" : "EINVAL",
    noMsix: 0b1001,
    msix: linux(6, 5) ? 0b0001 : 0b1001,
    errorsOfConventional: linux(6, 18) ? [1, 0b1001] : "EINVAL",
    errorOfConventional: linux(6, 18) ? undefined : "EINVAL",
    moreVectors: linux(6, 5) ? undefined : "EINVAL",
    widestAccess: linux(6, 11) ? 8 : 4,
    dmaBuf: linux(6, 19) ? undefined : "ENOTTY",
    wraps: linux(6, 18) ? "EOVERFLOW" : "EINVAL",
  };
}
