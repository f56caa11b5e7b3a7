/**
 * The type 1 IOMMU of a container (`drivers/vfio/vfio_iommu_type1.c`).
 *
 * @module
 */

import type { Ioctl } from "../uapi/ioctl.ts";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info_dma_avail,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iova_range,
} from "../uapi/vfio.ts";
import { answerInfo, inMemory, received } from "./argument.ts";
import type { Process } from "./file.ts";
import { type IoArea, IoMap } from "./io_map.ts";
import type { Machine } from "./machine.ts";
import { refuse } from "./refusal.ts";

/** The page sizes that Intel's and AMD's IOMMUs have in common. */
const PAGE_SIZES = 0x4020_1000n;
const PAGE_MASK = 0xfffn;
const LAST = 0xffff_ffff_ffff_ffffn;

const MAP_FLAGS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE |
  VFIO_DMA_MAP_FLAG_VADDR;
const UNMAP_FLAGS = VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR |
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;

/** A container's mappings, and who locks the memory behind them. */
export class Type1 {
  /** What is mapped. */
  readonly map = new IoMap();
  readonly #machine: Machine;
  readonly #version: 1 | 2;
  /** Which process locks a mapping's pages. */
  readonly #lockers = new Map<IoArea, Process>();

  /**
   * An empty IOVA space.
   *
   * @param machine The machine it is on.
   * @param version Version 2 refuses an unmap that would split a mapping.
   */
  constructor(machine: Machine, version: 1 | 2) {
    this.#machine = machine;
    this.#version = version;
  }

  /** Answers the ioctls of a container whose IOMMU is set. */
  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    switch (operation.request) {
      case VFIO_IOMMU_GET_INFO.request:
        return this.#getInfo(argument);
      case VFIO_IOMMU_MAP_DMA.request:
        return this.#mapDma(argument, process);
      case VFIO_IOMMU_UNMAP_DMA.request:
        return this.#unmapDma(argument);
      default:
        return refuse("ENOTTY");
    }
  }

  /** Unmaps everything. */
  unmapAll(): void {
    for (const area of [...this.map.areas]) this.#remove(area);
  }

  #getInfo(argument: Uint8Array | bigint): number {
    received(vfio_iommu_type1_info, argument, 16);
    const { ranges } = this.#machine.iommu!;
    const layout = vfio_iommu_type1_info_cap_iova_range;
    const rangeBytes = layout.alloc(
      { nr_iovas: ranges.length },
      ranges.length * vfio_iova_range.size,
    );
    for (const [i, { start, last: end }] of ranges.entries()) {
      const at = layout.offset.iova_ranges + i * vfio_iova_range.size;
      vfio_iova_range.encode(rangeBytes, { start, end }, at);
    }
    const avail = this.#machine.features.mappingLimit - this.map.areas.length;
    answerInfo(
      argument,
      vfio_iommu_type1_info,
      {
        flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
        iova_pgsizes: PAGE_SIZES,
      },
      [
        {
          id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
          bytes: vfio_iommu_type1_info_dma_avail.alloc({ avail }),
        },
        { id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, bytes: rangeBytes },
      ],
    );
    return 0;
  }

  #mapDma(argument: Uint8Array | bigint, process: Process): number {
    const { flags, vaddr, iova, size } = received(
      vfio_iommu_type1_dma_map,
      argument,
    );
    if ((flags & ~MAP_FLAGS) !== 0) refuse("EINVAL");
    if (size === 0n) refuse("EINVAL");
    const last = iova + size - 1n;
    if (last > LAST || vaddr + size - 1n > LAST) {
      refuse(this.#machine.since(6, 18) ? "EOVERFLOW" : "EINVAL");
    }
    const access = flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
    const setsAddress = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
    if ((access !== 0) === setsAddress) refuse("EINVAL");
    if (((size | iova | vaddr) & PAGE_MASK) !== 0n) refuse("EINVAL");
    const [present] = this.map.within(iova, last);
    if (setsAddress) refuse(present === undefined ? "ENOENT" : "EINVAL");
    if (present !== undefined) refuse("EEXIST");
    if (this.map.areas.length >= this.#machine.features.mappingLimit) {
      refuse("ENOSPC");
    }
    if (!this.#machine.iommu!.translates(iova, last)) refuse("EINVAL");
    const memory = process.memory.slice(vaddr, Number(size)) ??
      refuse("EFAULT");
    if (process.uid !== 0 && process.locked + memory.length > process.memlock) {
      refuse("ENOMEM");
    }
    const area: IoArea = {
      iova,
      last,
      memory,
      readable: (flags & VFIO_DMA_MAP_FLAG_READ) !== 0,
      writable: (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0,
    };
    process.locked += memory.length;
    this.#lockers.set(area, process);
    this.map.add(area);
    return 0;
  }

  #unmapDma(argument: Uint8Array | bigint): number {
    const layout = vfio_iommu_type1_dma_unmap;
    const { flags, iova, size } = received(layout, argument);
    if ((flags & ~UNMAP_FLAGS) !== 0) refuse("EINVAL");
    const all = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
    if ((iova & PAGE_MASK) !== 0n) refuse("EINVAL");
    if (all && (iova !== 0n || size !== 0n)) refuse("EINVAL");
    if (!all && (size === 0n || (size & PAGE_MASK) !== 0n)) refuse("EINVAL");
    const last = all ? LAST : iova + size - 1n;
    if (last > LAST) {
      refuse(this.#machine.since(6, 18) ? "EOVERFLOW" : "EINVAL");
    }
    const areas = this.map.within(iova, last);
    const splits = areas.some((area) => area.iova < iova || area.last > last);
    if (splits && this.#version === 2) refuse("EINVAL");
    let unmapped = 0n;
    for (const area of areas) {
      // Version 1 takes a mapping whose beginning is in the range, whole.
      if (area.iova < iova) break;
      unmapped += area.last - area.iova + 1n;
      this.#remove(area);
    }
    const bytes = inMemory(argument);
    new DataView(bytes.buffer, bytes.byteOffset)
      .setBigUint64(layout.offset.size, unmapped, true);
    return 0;
  }

  #remove(area: IoArea): void {
    this.map.remove(area);
    const process = this.#lockers.get(area);
    if (process !== undefined) process.locked -= area.memory.length;
    this.#lockers.delete(area);
  }
}
