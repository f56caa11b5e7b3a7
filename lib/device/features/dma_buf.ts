import { VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { O_CLOEXEC, O_RDWR } from "../../uapi/linux/fcntl.ts";
import {
  VFIO_DEVICE_FEATURE_DMA_BUF,
  vfio_device_feature_dma_buf,
  vfio_region_dma_range,
} from "../../uapi/vfio/feature.ts";
import { featureRefused, request } from "./request.ts";

/** A part of a region, in bytes. */
export interface DmaBufArea {
  /** Where it begins in the region. */
  readonly offset: number;
  /** How long it is. */
  readonly size: number;
}

/** The device that it is a region of. */
export interface DmaBufDevice {
  /** Its name, for errors. */
  readonly name: string;
  /** The system that is asked. */
  readonly kernel: Kernel;
  /** Its descriptor. */
  readonly fd: number;
}

/** The region that a dma-buf is made of. */
export interface DmaBufRegion {
  /** Its number. */
  readonly index: number;
  /** Bytes in it. */
  readonly size: number;
}

/**
 * Makes a dma-buf of parts of a BAR (`vfio_pci_core_feature_dma_buf()` in
 * `drivers/vfio/pci/vfio_pci_dmabuf.c`).
 *
 * @param device The device.
 * @param region The BAR.
 * @param areas The parts, whole pages, in the order that they have in it.
 * @returns The dma-buf, which the caller closes.
 */
export function exportDmaBuf(
  device: DmaBufDevice,
  region: DmaBufRegion,
  areas: readonly DmaBufArea[],
): Fd {
  const { index } = region;
  const { kernel, fd } = device;
  const ioctl: Fd["ioctl"] = (...call) => kernel.ioctl(fd, ...call);
  assertAreas(region, areas, kernel.pageSize);
  const { dma_ranges } = vfio_device_feature_dma_buf.offset;
  const { size } = vfio_region_dma_range;
  const data = vfio_device_feature_dma_buf.alloc({
    region_index: index,
    open_flags: O_RDWR | O_CLOEXEC,
    nr_ranges: areas.length,
  }, areas.length * size);
  for (const [i, { offset, size: length }] of areas.entries()) {
    vfio_region_dma_range.encode(
      data,
      { offset: BigInt(offset), length: BigInt(length) },
      dma_ranges + i * size,
    );
  }
  try {
    const feature = VFIO_DEVICE_FEATURE_DMA_BUF;
    return Fd.adopt(kernel, request({ ioctl }, feature, "get", data));
  } catch (error) {
    throw refused(device, index, error);
  }
}

function assertAreas(
  { index, size }: DmaBufRegion,
  areas: readonly DmaBufArea[],
  page: number,
): void {
  const fits = areas.length > 0 &&
    areas.every((area) =>
      area.offset % page === 0 && area.size % page === 0 && area.size > 0 &&
      area.offset >= 0 && area.offset + area.size <= size
    );
  if (fits) return;
  throw new RangeError(
    `Cannot make a dma-buf of region ${index}: expected whole pages inside ` +
      `${size} bytes`,
  );
}

function refused(
  device: DmaBufDevice,
  index: number,
  cause: unknown,
): unknown {
  const doing = `make a dma-buf of region ${index}`;
  return hasErrno(cause, "ENODEV")
    ? new VfioError("NOT_SUPPORTED", {
      device: device.name,
      problem: `cannot ${doing}: that takes a BAR of memory`,
      cause,
    })
    : featureRefused(device, "dma-bufs of its BARs", doing, cause);
}
