import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import {
  vfio_bitmap,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_unmap,
  VFIO_IOMMU_UNMAP_DMA,
} from "../../lib/uapi/vfio/type1.ts";
import type { DirtyLog, DmaRange } from "../backend.ts";
import { ignoreErrors } from "../teardown.ts";
import type { Container } from "./container.ts";

/** What a container logs of the memory that its devices write. */
export class Type1DirtyLog {
  readonly #kernel: Kernel;
  readonly #container: Fd;
  /** What a bit stands for, in bytes: the IOMMU's smallest page. */
  readonly pageSize: number;

  /**
   * @param kernel The system that is asked.
   * @param container The container.
   * @param pageSize What a bit stands for, in bytes.
   */
  constructor(kernel: Kernel, container: Fd, pageSize: number) {
    this.#kernel = kernel;
    this.#container = container;
    this.pageSize = pageSize;
  }

  /** Starts it; again is no error. */
  start(): void {
    try {
      this.#control(VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
    } catch (error) {
      if (!hasErrno(error, "EACCES", "ENOTTY")) throw error;
      throw new VfioError("NOT_SUPPORTED", {
        problem: "the container has no log of the memory that devices write",
        hint: "take version 2 of the type 1 IOMMU, and Linux 5.8 or later",
        cause: error,
      });
    }
  }

  /** Stops it; again is no error. */
  stop(): void {
    this.#control(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
  }

  #control(flags: number): void {
    const argument = vfio_iommu_type1_dirty_bitmap.alloc({ flags });
    this.#container.ioctl(VFIO_IOMMU_DIRTY_PAGES, argument);
  }

  /** Reads what was written of whole mappings, in place of what `bitmap` has. */
  read(iova: bigint, bytes: number, bitmap: Uint8Array): void {
    const layout = vfio_iommu_type1_dirty_bitmap;
    const get = vfio_iommu_type1_dirty_bitmap_get;
    const flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
    const argument = layout.alloc({ flags }, get.size);
    get.encode(
      argument,
      { iova, size: BigInt(bytes), bitmap: this.#describe(bitmap) },
      layout.offset.data,
    );
    this.#container.ioctl(VFIO_IOMMU_DIRTY_PAGES, argument);
  }

  /** Unmaps a range and reads what was written of it, in one step. */
  unmap({ iova, bytes }: DmaRange, bitmap: Uint8Array): void {
    const layout = vfio_iommu_type1_dma_unmap;
    const argument = layout.alloc({
      flags: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
      iova,
      size: BigInt(bytes),
    }, vfio_bitmap.size);
    vfio_bitmap.encode(argument, this.#describe(bitmap), layout.offset.data);
    this.#container.ioctl(VFIO_IOMMU_UNMAP_DMA, argument);
  }

  #describe(bitmap: Uint8Array) {
    return {
      pgsize: BigInt(this.pageSize),
      size: BigInt(bitmap.length),
      data: this.#kernel.addressOf(bitmap),
    };
  }
}

/** The logs of all containers of an address space. */
export class ContainerDirtyLog implements DirtyLog {
  /** Always `"container"`. */
  readonly by = "container";
  /** A container reads whole mappings only (`vfio_iova_dirty_bitmap()`). */
  readonly wholeMappings = true;
  readonly #kernel: Kernel;
  readonly #containers: ReadonlySet<Container>;
  readonly #logs = new Map<Container, Type1DirtyLog>();

  /**
   * @param kernel The system that is asked.
   * @param containers The containers, as they come and go.
   */
  constructor(kernel: Kernel, containers: ReadonlySet<Container>) {
    this.#kernel = kernel;
    this.#containers = containers;
  }

  /** The same for all: the smallest page of their IOMMUs. */
  get pageSize(): number {
    const [log] = this.#logs.values();
    return log!.pageSize;
  }

  /**
   * An IOMMU's page tables keep no dirty bits for a container
   * (`update_user_bitmap()` in `drivers/vfio/vfio_iommu_type1.c`).
   */
  get blur(): string | undefined {
    return [...this.#containers].some(({ translates }) => translates)
      ? "a container takes every mapped page as written where an IOMMU " +
        "translates for one of its groups"
      : undefined;
  }

  /** Starts the logs of the containers that came. */
  start(): void {
    for (const container of this.#logs.keys()) {
      if (!this.#containers.has(container)) this.#logs.delete(container);
    }
    const started: Container[] = [];
    try {
      for (const container of this.#containers) {
        if (this.#logs.has(container)) continue;
        const log = this.#open(container);
        log.start();
        this.#logs.set(container, log);
        started.push(container);
      }
    } catch (error) {
      for (const container of started) this.#stop(container);
      throw error;
    }
  }

  #open({ fd, iommu }: Container): Type1DirtyLog {
    const pageSize = iommu.dirtyPageSize?.();
    if (pageSize !== undefined) {
      return new Type1DirtyLog(this.#kernel, fd, pageSize);
    }
    throw new VfioError("NOT_SUPPORTED", {
      problem: "the kernel's IOMMU driver logs no memory that devices write",
      hint: "without an IOMMU, or before Linux 5.8, take all memory as written",
    });
  }

  read(iova: bigint, bytes: number, bitmap: Uint8Array<ArrayBuffer>): void {
    this.#merge(bitmap, (log, own) => log.read(iova, bytes, own));
  }

  unmap(range: DmaRange, bitmap: Uint8Array<ArrayBuffer>): boolean {
    this.#merge(bitmap, (log, own) => log.unmap(range, own));
    return true;
  }

  stop(): void {
    for (const container of [...this.#logs.keys()]) this.#stop(container);
  }

  // What was written for the log goes with the container at the latest.
  #stop(container: Container): void {
    const log = this.#logs.get(container)!;
    this.#logs.delete(container);
    if (this.#containers.has(container)) ignoreErrors(() => log.stop());
  }

  // The kernel overwrites what is in a bitmap, so that each but the first
  // container has one of its own.
  #merge(
    bitmap: Uint8Array<ArrayBuffer>,
    step: (log: Type1DirtyLog, own: Uint8Array<ArrayBuffer>) => void,
  ): void {
    let into: Uint8Array<ArrayBuffer> | undefined = bitmap;
    for (const [container, log] of this.#logs) {
      if (!this.#containers.has(container)) continue;
      const own = into ?? new Uint8Array(bitmap.length);
      step(log, own);
      if (into === undefined) merge(bitmap, own);
      into = undefined;
    }
  }
}

/** Sets the bits in one bitmap that are set in another, as long. */
function merge(
  into: Uint8Array<ArrayBuffer>,
  from: Uint8Array<ArrayBuffer>,
): void {
  const words = new Uint32Array(into.buffer);
  const added = new Uint32Array(from.buffer);
  for (let at = 0; at < words.length; at++) words[at]! |= added[at]!;
}
