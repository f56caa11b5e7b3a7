import { IOMMUFD_NODE } from "../../lib/host/iommu/nodes.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { iovaOf, setPages, setUint64 } from "../../lib/uapi/layout.ts";
import {
  IOMMU_DESTROY,
  iommu_destroy,
  IOMMU_IOAS_ALLOC,
  iommu_ioas_alloc,
  IOMMU_IOAS_COPY,
  iommu_ioas_copy,
  IOMMU_IOAS_IOVA_RANGES,
  iommu_ioas_iova_ranges,
  IOMMU_IOAS_MAP,
  iommu_ioas_map,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  iommu_ioas_noiommu_get_pa,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_unmap,
  iommu_iova_range,
} from "../../lib/uapi/iommufd/ioas.ts";
import type {
  AttachTarget,
  DmaRange,
  FileRange,
  IommuLimits,
  IovaRange,
  Node,
  PhysicalRange,
} from "../backend.ts";
import { allocArgument, type Argument } from "../argument.ts";
import { mappingRefused, openNode } from "../explain.ts";
import { ignoreErrors, insist } from "../teardown.ts";
import { attachTo } from "./attach.ts";
import { fileRefused, mapFileArgument } from "./map_file.ts";
import { rawIoMissing } from "../no_iommu/permission.ts";

const MAP = iommu_ioas_map.offset;
const UNMAP = iommu_ioas_unmap.offset;
const READ = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE;
const READ_WRITE = READ | IOMMU_IOAS_MAP_WRITEABLE;

/** The IO address space of a space, and the iommufd that it lives in. */
export class SpaceIoas {
  readonly #kernel: Kernel;
  readonly #fd: Fd;
  /** What the iommufd was had by. */
  readonly #node: Node;
  readonly #id: number;
  #map: Argument | undefined;
  #unmap: Argument | undefined;
  /** Whether the kernel maps files, as far as is known. */
  #mapsFiles = true;

  private constructor(kernel: Kernel, fd: Fd, node: Node, id: number) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.#node = node;
    this.#id = id;
  }

  /** Makes an address space with everything mapped. */
  static open(
    kernel: Kernel,
    target: AttachTarget,
    mapped: Iterable<DmaRange>,
  ): SpaceIoas {
    using stack = new DisposableStack();
    const { iommufd = IOMMUFD_NODE } = target.nodes;
    const fd = stack.use(openNode(kernel, target, iommufd));
    const argument = iommu_ioas_alloc.alloc();
    fd.ioctl(IOMMU_IOAS_ALLOC, argument);
    const { out_ioas_id } = iommu_ioas_alloc.decode(argument);
    const ioas = new SpaceIoas(kernel, fd, iommufd, out_ioas_id);
    stack.defer(() => ioas.#destroy());
    for (const range of mapped) ioas.map(range);
    stack.move();
    return ioas;
  }

  /** The iommufd, by which devices are bound to it. */
  get iommufd(): Fd {
    return this.#fd;
  }

  /** Its number there. */
  get id(): number {
    return this.#id;
  }

  /** Whether a device's iommufd is the one that it lives in. */
  livesIn(iommufd: Node): boolean {
    return iommufd === this.#node;
  }

  /** Closes the iommufd, and with it everything that lives in it. */
  close(): void {
    this.#destroy();
    ignoreErrors(() => this.#fd.close());
  }

  /** An iommufd that was passed in lives on: what is ours is taken out of it. */
  #destroy(): void {
    if (typeof this.#node === "string") return;
    const argument = iommu_destroy.alloc({ id: this.#id });
    insist(() => void this.#fd.ioctl(IOMMU_DESTROY, argument));
  }

  /**
   * Attaches a device.
   *
   * @param fd The device.
   * @param table The number of a page table in place of this.
   */
  attach(fd: Fd, table = this.#id): void {
    attachTo(fd, table);
  }

  map(range: DmaRange): void {
    try {
      const file = this.#fileOf(range);
      if (file !== undefined) {
        const argument = mapFileArgument(this.#id, range, file);
        this.#fd.ioctl(IOMMU_IOAS_MAP_FILE, argument);
        return;
      }
      const { bytes, view } = this.#map ??= allocArgument(iommu_ioas_map);
      this.#fillMap(view, range);
      this.#fd.ioctl(IOMMU_IOAS_MAP, bytes);
    } catch (error) {
      if (!this.#lacksFiles(range, error)) throw this.#refused(range, error);
      this.map(range);
    }
  }

  async mapAsync(range: DmaRange): Promise<void> {
    try {
      const file = this.#fileOf(range);
      if (file !== undefined) {
        const argument = mapFileArgument(this.#id, range, file);
        await this.#fd.ioctlAsync(IOMMU_IOAS_MAP_FILE, argument);
        return;
      }
      const { bytes, view } = allocArgument(iommu_ioas_map);
      this.#fillMap(view, range);
      await this.#fd.ioctlAsync(IOMMU_IOAS_MAP, bytes);
    } catch (error) {
      if (!this.#lacksFiles(range, error)) throw this.#refused(range, error);
      await this.mapAsync(range);
    }
  }

  /** The file that is mapped in place of the memory. */
  #fileOf({ file }: DmaRange): FileRange | undefined {
    return this.#mapsFiles ? file : undefined;
  }

  /** Whether the kernel said that it maps no files, before Linux 6.13. */
  #lacksFiles({ file, address }: DmaRange, error: unknown): boolean {
    if (file === undefined || !this.#mapsFiles) return false;
    if (!hasErrno(error, "ENOTTY") || address === 0n) return false;
    this.#mapsFiles = false;
    return true;
  }

  #refused(range: DmaRange, error: unknown): unknown {
    return fileRefused(range, error) ??
      mappingRefused(this.#kernel, "iommufd", range, error);
  }

  #fillMap(view: DataView, range: DmaRange): void {
    const { page, address, bytes, writable } = range;
    view.setUint32(MAP.flags, writable ? READ_WRITE : READ, true);
    view.setUint32(MAP.ioas_id, this.#id, true);
    view.setBigUint64(MAP.user_va, address, true);
    setUint64(view, MAP.length, bytes);
    setPages(view, MAP.iova, page);
  }

  /**
   * Maps what another address space of the same iommufd has mapped. The memory
   * stays pinned once.
   *
   * @returns Whether it is the same iommufd: that of a descriptor that was
   * passed in for both.
   */
  copy(range: DmaRange, from: DmaRange, source: SpaceIoas): boolean {
    const isShared = typeof this.#node === "number" &&
      this.#node === source.#node;
    if (!isShared) return false;
    const argument = iommu_ioas_copy.alloc({
      flags: range.writable ? READ_WRITE : READ,
      dst_ioas_id: this.#id,
      src_ioas_id: source.#id,
      length: BigInt(range.bytes),
      dst_iova: iovaOf(range.page),
      src_iova: iovaOf(from.page),
    });
    try {
      this.#fd.ioctl(IOMMU_IOAS_COPY, argument);
      return true;
    } catch (error) {
      throw this.#refused(range, error);
    }
  }

  unmap({ page, bytes }: DmaRange): void {
    const argument = this.#unmap ??= allocArgument(iommu_ioas_unmap);
    argument.view.setUint32(UNMAP.ioas_id, this.#id, true);
    setPages(argument.view, UNMAP.iova, page);
    setUint64(argument.view, UNMAP.length, bytes);
    this.#fd.ioctl(IOMMU_IOAS_UNMAP, argument.bytes);
  }

  /** Where a range lies in physical memory: it is pinned there. */
  physical({ page, bytes }: DmaRange, offset: number): PhysicalRange {
    const layout = iommu_ioas_noiommu_get_pa;
    const argument = layout.alloc({
      ioas_id: this.#id,
      iova: iovaOf(page) + BigInt(offset),
      length: BigInt(bytes - offset),
    });
    try {
      this.#fd.ioctl(IOMMU_IOAS_NOIOMMU_GET_PA, argument);
    } catch (error) {
      throw hasErrno(error, "EPERM") ? rawIoMissing(error) : error;
    }
    const { out_phys, length } = layout.decode(argument);
    return { address: out_phys, length: Number(length) };
  }

  limits(): IommuLimits {
    const limits = readIovaRanges(this.#kernel, this.#fd, this.#id);
    return { ...limits, mappingsAvailable: undefined };
  }
}

/** What an IOAS can map. */
export interface IovaLimits {
  /** The IOVAs, ascending; reserved windows are left out. */
  readonly ranges: readonly IovaRange[];
  /** What IOVAs and sizes must be multiples of, in bytes. */
  readonly alignment: bigint;
}

/**
 * Asks what an IOAS can map.
 *
 * @param kernel The system.
 * @param fd The iommufd.
 * @param ioas The number of the IOAS.
 */
export function readIovaRanges(
  kernel: Kernel,
  fd: Fd,
  ioas: number,
): IovaLimits {
  // Reserved windows are few. Where there are more ranges than that, the
  // kernel says how many.
  for (let count = 16;;) {
    const ranges = new Uint8Array(count * iommu_iova_range.size);
    const argument = iommu_ioas_iova_ranges.alloc({
      ioas_id: ioas,
      num_iovas: count,
      allowed_iovas: kernel.addressOf(ranges),
    });
    try {
      fd.ioctl(IOMMU_IOAS_IOVA_RANGES, argument);
    } catch (error) {
      const { num_iovas } = iommu_ioas_iova_ranges.decode(argument);
      if (!hasErrno(error, "EMSGSIZE") || num_iovas <= count) throw error;
      count = num_iovas;
      continue;
    }
    const { num_iovas, out_iova_alignment } = iommu_ioas_iova_ranges
      .decode(argument);
    return {
      ranges: iommu_iova_range.decodeArray(ranges, num_iovas),
      alignment: out_iova_alignment,
    };
  }
}
