/**
 * The device nodes of VFIO and iommufd, with a method for each ioctl. Tests
 * choose every argument, also wrong ones.
 *
 * @module
 */
import type { Kernel } from "../../mod.ts";
import { O_RDWR } from "../../lib/uapi/linux/fcntl.ts";
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
  iommu_ioas_map_file,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  iommu_ioas_noiommu_get_pa,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_unmap,
  iommu_iova_range,
} from "../../lib/uapi/iommufd/all.ts";
import type { Encodable, Struct } from "../../lib/uapi/layout.ts";
import {
  vfio_bitmap,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  vfio_group_status,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from "../../lib/uapi/vfio/all.ts";
import { answer } from "./answer.ts";
import { DeviceFile } from "./device_file.ts";
import { KernelFile } from "./kernel_file.ts";

/** The values of a struct. */
export type Values<S> = S extends Struct<infer F> ? Encodable<F> : never;

/** `/dev/vfio/vfio`. */
export class Container extends KernelFile {
  /** @param kernel The system. */
  constructor(kernel: Kernel) {
    super(kernel, kernel.open("/dev/vfio/vfio", O_RDWR));
  }

  /** VFIO_GET_API_VERSION. */
  version(): number {
    return this.ioctl(VFIO_GET_API_VERSION);
  }

  /** VFIO_CHECK_EXTENSION. */
  extension(extension: number): number {
    return this.ioctl(VFIO_CHECK_EXTENSION, BigInt(extension));
  }

  /** VFIO_SET_IOMMU. */
  setIommu(type: number): void {
    this.ioctl(VFIO_SET_IOMMU, BigInt(type));
  }

  /** VFIO_IOMMU_GET_INFO. */
  info(argument: Uint8Array): void {
    this.ioctl(VFIO_IOMMU_GET_INFO, argument);
  }

  /** VFIO_IOMMU_MAP_DMA, by default for reading and writing. */
  map(values: Values<typeof vfio_iommu_type1_dma_map>): void {
    const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    const argument = vfio_iommu_type1_dma_map.alloc({ flags, ...values });
    this.ioctl(VFIO_IOMMU_MAP_DMA, argument);
  }

  /** VFIO_IOMMU_UNMAP_DMA. Returns how many bytes were unmapped. */
  unmap(values: Values<typeof vfio_iommu_type1_dma_unmap>): bigint {
    const argument = vfio_iommu_type1_dma_unmap.alloc(values);
    this.ioctl(VFIO_IOMMU_UNMAP_DMA, argument);
    return vfio_iommu_type1_dma_unmap.decode(argument).size;
  }

  /**
   * VFIO_IOMMU_UNMAP_DMA with a bitmap of the written pages. Returns how many
   * bytes were unmapped.
   */
  unmapDirty(
    values: Values<typeof vfio_iommu_type1_dma_unmap>,
    bitmap: Values<typeof vfio_bitmap>,
  ): bigint {
    const layout = vfio_iommu_type1_dma_unmap;
    const argument = layout.alloc(values, vfio_bitmap.size);
    vfio_bitmap.encode(argument, bitmap, layout.size);
    this.ioctl(VFIO_IOMMU_UNMAP_DMA, argument);
    return layout.decode(argument).size;
  }

  /** VFIO_IOMMU_DIRTY_PAGES. */
  dirtyPages(
    values: Values<typeof vfio_iommu_type1_dirty_bitmap>,
    get?: Values<typeof vfio_iommu_type1_dirty_bitmap_get>,
  ): void {
    const layout = vfio_iommu_type1_dirty_bitmap;
    const asked = vfio_iommu_type1_dirty_bitmap_get;
    const argument = layout.alloc(values, get === undefined ? 0 : asked.size);
    if (get !== undefined) asked.encode(argument, get, layout.size);
    this.ioctl(VFIO_IOMMU_DIRTY_PAGES, argument);
  }
}

/** `/dev/vfio/$GROUP`. */
export class Group extends KernelFile {
  /**
   * @param kernel The system.
   * @param node Its path.
   */
  constructor(kernel: Kernel, node: string) {
    super(kernel, kernel.open(node, O_RDWR));
  }

  /** VFIO_GROUP_GET_STATUS. Returns `VFIO_GROUP_FLAGS_*`. */
  status(values: Values<typeof vfio_group_status> = {}): number {
    const argument = vfio_group_status.alloc(values);
    this.ioctl(VFIO_GROUP_GET_STATUS, argument);
    return vfio_group_status.decode(argument).flags;
  }

  /** VFIO_GROUP_SET_CONTAINER. */
  setContainer({ fd }: { readonly fd: number }): void {
    const argument = new Uint8Array(new Int32Array([fd]).buffer);
    this.ioctl(VFIO_GROUP_SET_CONTAINER, argument);
  }

  /** VFIO_GROUP_UNSET_CONTAINER. */
  unsetContainer(): void {
    this.ioctl(VFIO_GROUP_UNSET_CONTAINER);
  }

  /** VFIO_GROUP_GET_DEVICE_FD. */
  device(name: string): DeviceFile {
    const argument = new TextEncoder().encode(`${name}\0`);
    return new DeviceFile(
      this.kernel,
      this.ioctl(VFIO_GROUP_GET_DEVICE_FD, argument),
    );
  }
}

/** `/dev/iommu`. */
export class Iommufd extends KernelFile {
  /** @param kernel The system. */
  constructor(kernel: Kernel) {
    super(kernel, kernel.open("/dev/iommu", O_RDWR));
  }

  /** IOMMU_IOAS_ALLOC. Returns the id. */
  allocate(values: Values<typeof iommu_ioas_alloc> = {}): number {
    const argument = iommu_ioas_alloc.alloc(values);
    this.ioctl(IOMMU_IOAS_ALLOC, argument);
    return iommu_ioas_alloc.decode(argument).out_ioas_id;
  }

  /** IOMMU_DESTROY. */
  destroy(id: number, values: Values<typeof iommu_destroy> = {}): void {
    this.ioctl(IOMMU_DESTROY, iommu_destroy.alloc({ id, ...values }));
  }

  /**
   * IOMMU_IOAS_MAP, by default at a fixed IOVA for reading and writing. Returns
   * the IOVA.
   */
  map(values: Values<typeof iommu_ioas_map>): bigint {
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
      IOMMU_IOAS_MAP_WRITEABLE;
    const argument = iommu_ioas_map.alloc({ flags, ...values });
    this.ioctl(IOMMU_IOAS_MAP, argument);
    return iommu_ioas_map.decode(argument).iova;
  }

  /**
   * IOMMU_IOAS_MAP_FILE, by default at a fixed IOVA for reading and writing.
   * Returns the IOVA.
   */
  mapFile(values: Values<typeof iommu_ioas_map_file>): bigint {
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
      IOMMU_IOAS_MAP_WRITEABLE;
    const argument = iommu_ioas_map_file.alloc({ flags, ...values });
    this.ioctl(IOMMU_IOAS_MAP_FILE, argument);
    return iommu_ioas_map_file.decode(argument).iova;
  }

  /** IOMMU_IOAS_COPY, in the same way. */
  copy(values: Values<typeof iommu_ioas_copy>): bigint {
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
      IOMMU_IOAS_MAP_WRITEABLE;
    const argument = iommu_ioas_copy.alloc({ flags, ...values });
    this.ioctl(IOMMU_IOAS_COPY, argument);
    return iommu_ioas_copy.decode(argument).dst_iova;
  }

  /** IOMMU_IOAS_UNMAP. Returns how many bytes were unmapped. */
  unmap(values: Values<typeof iommu_ioas_unmap>): bigint {
    const argument = iommu_ioas_unmap.alloc(values);
    this.ioctl(IOMMU_IOAS_UNMAP, argument);
    return iommu_ioas_unmap.decode(argument).length;
  }

  /**
   * IOMMU_IOAS_IOVA_RANGES.
   *
   * @param ioas Its id.
   * @param room The number of ranges that the buffer has room for.
   * @param values Further members of the struct.
   * @returns The errno if there was one, the number of ranges, the ranges that
   * fit in the buffer, and the alignment.
   */
  ranges(
    ioas: number,
    room: number,
    values: Values<typeof iommu_ioas_iova_ranges> = {},
  ): {
    readonly errno: string | number;
    readonly count: number;
    readonly ranges: readonly {
      readonly start: bigint;
      readonly last: bigint;
    }[];
    readonly alignment: bigint;
  } {
    const array = new Uint8Array(room * iommu_iova_range.size);
    const argument = iommu_ioas_iova_ranges.alloc({
      ioas_id: ioas,
      num_iovas: room,
      ...room > 0 ? { allowed_iovas: this.kernel.addressOf(array) } : {},
      ...values,
    });
    const errno = answer(() => this.ioctl(IOMMU_IOAS_IOVA_RANGES, argument));
    const { num_iovas, out_iova_alignment } = iommu_ioas_iova_ranges
      .decode(argument);
    return {
      errno,
      count: num_iovas,
      ranges: iommu_iova_range.decodeArray(array, Math.min(room, num_iovas)),
      alignment: out_iova_alignment,
    };
  }

  /** IOMMU_IOAS_NOIOMMU_GET_PA. */
  locate(
    values: Values<typeof iommu_ioas_noiommu_get_pa>,
  ): { address: bigint; length: bigint } {
    const argument = iommu_ioas_noiommu_get_pa.alloc(values);
    this.ioctl(IOMMU_IOAS_NOIOMMU_GET_PA, argument);
    const { out_phys, length } = iommu_ioas_noiommu_get_pa.decode(argument);
    return { address: out_phys, length };
  }
}
