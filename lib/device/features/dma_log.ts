import { toVfioError } from "../../errors.ts";
import {
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  vfio_device_feature_dma_logging_report,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
} from "../../uapi/vfio/migration.ts";
import type { FeatureDevice } from "./feature_device.ts";
import { featureRefused, openHandle, requestAsync } from "./request.ts";

/** IOVAs, in bytes. */
export interface LoggedRange {
  /** The first one. */
  readonly iova: bigint;
  /** How many bytes. */
  readonly size: bigint;
}

/** How a device's DMA is logged. */
export interface DmaLogOptions {
  /**
   * The granularity that is wanted, in bytes, a power of two. The device
   * chooses: {@linkcode DmaLog.pageSize}.
   *
   * @default {4096}
   */
  readonly pageSize?: number;
}

/** The most ranges that the kernel takes: those in one of its pages. */
const MAX_RANGES = 256;
/** The smallest granularity of a report, in bytes. */
const LEAST_PAGE = 4096;

/**
 * Has a device log which memory it writes
 * (`vfio_ioctl_device_feature_logging_start()` in `drivers/vfio/vfio_main.c`).
 *
 * @param device The device.
 * @param ranges Where.
 * @param options The granularity.
 */
export async function startDmaLog(
  device: FeatureDevice,
  ranges: readonly LoggedRange[],
  { pageSize = LEAST_PAGE }: DmaLogOptions = {},
): Promise<DmaLog> {
  assertPageSize(pageSize);
  assertRanges(ranges, BigInt(pageSize));
  const layout = vfio_device_feature_dma_logging_range;
  const list = new Uint8Array(ranges.length * layout.size);
  for (const [i, { iova, size }] of ranges.entries()) {
    layout.encode(list, { iova, length: size }, i * layout.size);
  }
  const data = vfio_device_feature_dma_logging_control.alloc({
    page_size: BigInt(pageSize),
    num_ranges: ranges.length,
    ranges: device.kernel.addressOf(list),
  });
  try {
    await requestAsync(
      device.handle,
      VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
      "set",
      data,
    );
  } catch (error) {
    throw featureRefused(device, "log of its DMA", "log its DMA", error);
  } finally {
    // The kernel has the buffer's address: this keeps the buffer alive.
    list.fill(0);
  }
  const { page_size } = vfio_device_feature_dma_logging_control.decode(data);
  return new DmaLog(device, Number(page_size));
}

/** The log of which memory a device writes. */
export class DmaLog implements AsyncDisposable {
  readonly #device: FeatureDevice;
  #stopping: Promise<void> | undefined;
  /** The granularity that the device chose, in bytes. */
  readonly pageSize: number;

  /** Made by `Features.startDmaLog`. */
  constructor(device: FeatureDevice, pageSize: number) {
    this.#device = device;
    this.pageSize = pageSize;
  }

  /**
   * Returns which pages the device has written since the last report of them. The
   * device forgets them.
   *
   * @param range Which memory, in one of the logged ranges.
   * @param pageSize What a bit stands for, in bytes, a power of two and at
   * least 4096. Default: {@linkcode DmaLog.pageSize}, where that is larger.
   * @returns A bitmap: bit `i % 8` of byte `i / 8` is for page `i`.
   * @throws {RangeError} If the page size or the range does not fit.
   * @throws {VfioError} `KERNEL`: then take all of the range as written, since
   * the device may have forgotten it; `DETACHED`.
   */
  async report(
    { iova, size }: LoggedRange,
    pageSize: number = Math.max(LEAST_PAGE, this.pageSize),
  ): Promise<Uint8Array> {
    assertPageSize(pageSize);
    if (pageSize < LEAST_PAGE) {
      throw new RangeError(
        `Cannot report pages of ${pageSize} bytes: expected at least ` +
          LEAST_PAGE,
      );
    }
    assertRanges([{ iova, size }], BigInt(pageSize));
    const pages = Number(size / BigInt(pageSize));
    // The kernel takes words of 64 bits, and only sets bits in them.
    const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8);
    const data = vfio_device_feature_dma_logging_report.alloc({
      iova,
      length: size,
      page_size: BigInt(pageSize),
      bitmap: this.#device.kernel.addressOf(bitmap),
    });
    try {
      await requestAsync(
        this.#device.handle,
        VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
        "get",
        data,
      );
      return bitmap.subarray(0, Math.ceil(pages / 8));
    } catch (error) {
      throw toVfioError(error, "read the log of its DMA", this.#device.name);
    }
  }

  /**
   * Ends the log, as a detach does. Calling it again does nothing.
   *
   * @throws {VfioError} `KERNEL`, and it can be called again.
   */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    try {
      await this.#stopping;
    } catch (error) {
      this.#stopping = undefined;
      throw error;
    }
  }

  /** The same as {@linkcode DmaLog.stop}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<void> {
    const handle = openHandle(this.#device);
    if (handle === undefined) return;
    try {
      await requestAsync(handle, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, "set");
    } catch (error) {
      throw toVfioError(error, "end the log of its DMA", this.#device.name);
    }
  }
}

function assertPageSize(size: number): void {
  // No bit twice: a power of two.
  if (
    Number.isSafeInteger(size) && size > 0 && Number.isInteger(Math.log2(size))
  ) {
    return;
  }
  throw new RangeError(
    `Cannot log pages of ${size} bytes: expected a power of two`,
  );
}

function assertRanges(ranges: readonly LoggedRange[], page: bigint): void {
  if (ranges.length === 0 || ranges.length > MAX_RANGES) {
    throw new RangeError(
      `Cannot log ${ranges.length} ranges: expected 1 to ${MAX_RANGES}`,
    );
  }
  for (const { iova, size } of ranges) {
    if (
      iova >= 0n && size > 0n && iova + size < 1n << 64n &&
      iova % page === 0n && size % page === 0n
    ) continue;
    throw new RangeError(
      `Cannot log ${size} bytes at IOVA ${iova}: expected whole pages of ` +
        `${page} bytes`,
    );
  }
}
