import {
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from "../../../uapi/vfio/migration.ts";
import type { Process } from "../../fs/file.ts";
import type { ModelLog } from "../../models/migration.ts";
import { refuse } from "../../process/refusal.ts";

/** The most ranges: those in one of the kernel's pages. */
const MAX_RANGES = 256;
const LEAST_PAGE = 4096n;
const END = 1n << 64n;

interface Range {
  readonly iova: bigint;
  readonly end: bigint;
}

/**
 * The log of what a device writes (`vfio_ioctl_device_feature_logging_start()`
 * in `drivers/vfio/vfio_main.c`).
 */
export class DmaLog {
  readonly #model: ModelLog;
  #ranges: readonly Range[] = [];
  #pageSize = LEAST_PAGE;
  /** The pages that were written, by their number in the log's granularity. */
  readonly #written = new Set<bigint>();

  /** @param model The part of the device's driver. */
  constructor(model: ModelLog) {
    this.#model = model;
  }

  /** VFIO_DEVICE_FEATURE_DMA_LOGGING_START. */
  start(data: Uint8Array, process: Process): void {
    const layout = vfio_device_feature_dma_logging_control;
    const { page_size, num_ranges, ranges } = layout.decode(data);
    if (num_ranges === 0) refuse("EINVAL");
    if (num_ranges > MAX_RANGES) refuse("E2BIG");
    const list = process.memory.buffer(ranges);
    const wanted = vfio_device_feature_dma_logging_range
      .decodeArray(list, num_ranges)
      .map(({ iova, length }) => ({ iova, end: iova + length }));
    for (const [i, { iova, end }] of wanted.entries()) {
      // As IS_ALIGNED, which takes any number.
      if (((iova | (end - iova)) & (page_size - 1n)) !== 0n) refuse("EINVAL");
      if (end >= END) refuse("EOVERFLOW");
      const overlaps = wanted.slice(0, i)
        .some((other) => iova < other.end && other.iova < end);
      if (overlaps) refuse("EINVAL");
    }
    const { startedTwice, pageSize } = this.#model;
    if (startedTwice !== undefined && this.#ranges.length > 0) {
      refuse(startedTwice);
    }
    this.#ranges = wanted;
    this.#pageSize = BigInt(pageSize) || page_size;
    this.#written.clear();
    layout.encode(data, {
      page_size: this.#pageSize,
      num_ranges,
      ranges,
    });
  }

  /** VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP. */
  stop(): void {
    this.#ranges = [];
    this.#written.clear();
  }

  /** VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT. */
  report(data: Uint8Array, process: Process): void {
    const { iova, length, page_size, bitmap } =
      vfio_device_feature_dma_logging_report.decode(data);
    if (page_size < LEAST_PAGE || (page_size & (page_size - 1n)) !== 0n) {
      refuse("EINVAL");
    }
    if (iova + length >= END) refuse("EOVERFLOW");
    const bits = process.memory.buffer(bitmap);
    for (const page of this.#written) {
      const start = page * this.#pageSize;
      const end = start + this.#pageSize;
      if (end <= iova || start >= iova + length) continue;
      this.#written.delete(page);
      const first = Math.max(Number((start - iova) / page_size), 0);
      const last = Number((min(end, iova + length) - 1n - iova) / page_size);
      for (let bit = first; bit <= last; bit++) bits[bit >> 3]! |= 1 << bit % 8;
    }
  }

  /** Notes a write of the device. */
  note(iova: bigint, length: number): void {
    if (!this.#model.works || length === 0) return;
    const end = iova + BigInt(length);
    for (const range of this.#ranges) {
      const from = max(iova, range.iova);
      const to = min(end, range.end);
      for (
        let page = from / this.#pageSize;
        page * this.#pageSize < to;
        page++
      ) {
        this.#written.add(page);
      }
    }
  }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
