import { toVfioError, VfioError } from "../../../lib/errors.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import { hex } from "../../../lib/hex.ts";
import {
  IOMMU_IOAS_ALLOC,
  iommu_ioas_alloc,
  IOMMU_IOAS_COPY,
  iommu_ioas_copy,
  IOMMU_IOAS_MAP,
  iommu_ioas_map,
  IOMMU_IOAS_MAP_FILE,
  iommu_ioas_map_file,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  iommu_ioas_noiommu_get_pa,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_unmap,
} from "../../../lib/uapi/iommufd/ioas.ts";
import type { FileRange, IovaRange, PhysicalRange } from "../../backend.ts";
import { getOption, setOption } from "../core/options.ts";
import type { IommufdFile } from "../core/iommufd_file.ts";
import { type IovaLimits, readIovaRanges } from "../space_ioas.ts";
import { allowIovas } from "./allow_iovas.ts";
import { flagsOf, type IoasMapOptions, mapRefused } from "./map_options.ts";
import { IommufdObject } from "../core/object.ts";
import { IOMMU_OPTION_HUGE_PAGES } from "../../../lib/uapi/iommufd/options.ts";

/** All IOVAs, as IOMMU_IOAS_UNMAP wants them to be asked for. */
const EVERYTHING = 0xffff_ffff_ffff_ffffn;

/**
 * An IO address space: memory by IOVA, for the page tables that are made from it
 * (`drivers/iommu/iommufd/ioas.c`). Destroying it unmaps everything.
 *
 * @example Two page tables of one address space
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace({ backend: "iommufd" });
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * const { iommufd, ioas } = await space.iommufd();
 * using other = iommufd.allocateIoas();
 * console.log(device.name, ioas.limits().ranges, other.id);
 * ```
 */
export class Ioas extends IommufdObject {
  /**
   * Made by {@linkcode Iommufd.allocateIoas}.
   *
   * @param iommufd The iommufd.
   * @param id Its number.
   */
  constructor(iommufd: IommufdFile, id: number) {
    super(iommufd, "IOAS", id);
  }

  /** An IOAS takes no PASIDs: a page table of it does. */
  get takesPasids(): boolean {
    return false;
  }

  /** Makes one without a mapping. */
  static allocate(iommufd: IommufdFile): Ioas {
    const argument = iommu_ioas_alloc.alloc();
    iommufd.call("allocate an IOAS", IOMMU_IOAS_ALLOC, argument);
    const { out_ioas_id } = iommu_ioas_alloc.decode(argument);
    return new Ioas(iommufd, out_ioas_id);
  }

  /**
   * What can be mapped: everything, until a page table or a device narrows it.
   *
   * @throws {VfioError} `DETACHED`, `KERNEL`.
   */
  limits(): IovaLimits {
    const { id, iommufd } = this;
    try {
      return readIovaRanges(iommufd.kernel, iommufd.fd, id);
    } catch (error) {
      throw toVfioError(error, `ask what ${this.name} can map`);
    }
  }

  /**
   * Says which IOVAs are used at most. The kernel chooses IOVAs within them, and
   * refuses a device that has a reserved window there. A fixed IOVA may still be
   * outside.
   *
   * @param ranges The IOVAs, which replace those of before; none for all.
   * @throws {RangeError} If a range is empty, or two overlap.
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` where one is reserved.
   */
  allow(ranges: readonly IovaRange[]): void {
    allowIovas(this.iommufd, this.id, ranges);
  }

  /**
   * Maps memory of this process by its address. It has to stay where it is until
   * a page table has pinned it, so it is never a JavaScript buffer.
   *
   * @param memory Its address and its size, whole pages.
   * @param options Where it is mapped, and for what.
   * @returns The IOVA.
   * @throws {VfioError} `IOVA_OVERLAP`, `IOVA_OUT_OF_RANGE`, `IOVA_EXHAUSTED`,
   * `NO_MEMORY`, `DETACHED`, `KERNEL`.
   */
  unsafeMap(
    memory: { readonly address: bigint; readonly size: number | bigint },
    options: IoasMapOptions = {},
  ): bigint {
    const layout = iommu_ioas_map;
    const argument = layout.alloc({
      ioas_id: this.id,
      flags: flagsOf(options),
      user_va: memory.address,
      length: BigInt(memory.size),
      iova: options.iova ?? 0n,
    });
    this.#map(memory.size, options, () => {
      this.iommufd.fd.ioctl(IOMMU_IOAS_MAP, argument);
    });
    return layout.decode(argument).iova;
  }

  /**
   * Maps memory of a file: a memfd, or a dma-buf, such as another device's BAR
   * (Linux 6.13, 7.0). The file may be closed.
   *
   * @param file The file, and where the memory begins in it, in bytes.
   * @param size How many bytes.
   * @param options Where it is mapped, and for what.
   * @returns The IOVA.
   * @throws {VfioError} As {@linkcode Ioas.unsafeMap}; `NOT_SUPPORTED` for a file
   * that cannot be mapped, `INACCESSIBLE` for a dma-buf that is revoked, as during
   * a reset of its device.
   */
  mapFile(
    file: FileRange,
    size: number | bigint,
    options: IoasMapOptions = {},
  ): bigint {
    const layout = iommu_ioas_map_file;
    const argument = layout.alloc({
      ioas_id: this.id,
      flags: flagsOf(options),
      fd: file.fd,
      start: BigInt(file.offset),
      length: BigInt(size),
      iova: options.iova ?? 0n,
    });
    this.#map(size, options, () => {
      this.iommufd.fd.ioctl(IOMMU_IOAS_MAP_FILE, argument);
    });
    return layout.decode(argument).iova;
  }

  /**
   * Maps what another IOAS has mapped, without pinning it again.
   *
   * @param source The IOAS: another, or itself.
   * @param from The first IOVA there, of a range without holes.
   * @param size How many bytes.
   * @param options Where it is mapped, and for what.
   * @returns The IOVA here.
   * @throws {VfioError} As {@linkcode Ioas.unsafeMap}; `IOVA_OUT_OF_RANGE` where
   * not all of it is mapped there, `PERMISSION_DENIED` where it is read-only
   * there and is to be writable here.
   */
  copy(
    source: Ioas,
    from: bigint,
    size: number | bigint,
    options: IoasMapOptions = {},
  ): bigint {
    source.assertIn(this.iommufd);
    const layout = iommu_ioas_copy;
    const argument = layout.alloc({
      dst_ioas_id: this.id,
      src_ioas_id: source.id,
      flags: flagsOf(options),
      length: BigInt(size),
      dst_iova: options.iova ?? 0n,
      src_iova: from,
    });
    this.#map(size, options, () => {
      this.iommufd.fd.ioctl(IOMMU_IOAS_COPY, argument);
    });
    return layout.decode(argument).dst_iova;
  }

  #map(
    size: number | bigint,
    options: IoasMapOptions,
    call: () => void,
  ): void {
    try {
      call();
    } catch (error) {
      throw mapRefused(size, options, error);
    }
  }

  /**
   * Unmaps whole mappings. Where it fails, those below the one that it fails at
   * are gone.
   *
   * @param iova The first IOVA.
   * @param size How many bytes.
   * @returns How many bytes were mapped there.
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` if nothing is mapped there, or a
   * mapping lies there in part; `IN_USE` while a hardware queue lies there.
   */
  unmap(iova: bigint, size: number | bigint): bigint {
    const layout = iommu_ioas_unmap;
    const argument = layout.alloc({
      ioas_id: this.id,
      iova,
      length: BigInt(size),
    });
    try {
      this.iommufd.fd.ioctl(IOMMU_IOAS_UNMAP, argument);
    } catch (error) {
      throw unmapRefused(iova, size, error);
    }
    return layout.decode(argument).length;
  }

  /**
   * Unmaps everything.
   *
   * @returns How many bytes were mapped.
   * @throws {VfioError} `IN_USE` while a hardware queue lies in one of its
   * mappings.
   */
  unmapAll(): bigint {
    return this.unmap(0n, EVERYTHING);
  }

  /**
   * Where memory lies that devices without an IOMMU are given (Linux 7.3).
   *
   * @param iova Where it is mapped, page-aligned.
   * @param size How many bytes at most.
   * @returns The physical address, and how many bytes are contiguous.
   * @throws {VfioError} `PERMISSION_DENIED` without `CAP_SYS_RAWIO`;
   * `NOT_SUPPORTED` where an IOMMU translates; `IOVA_OUT_OF_RANGE` where nothing
   * is mapped.
   */
  physicalAddress(iova: bigint, size: number | bigint): PhysicalRange {
    const layout = iommu_ioas_noiommu_get_pa;
    const argument = layout.alloc({
      ioas_id: this.id,
      iova,
      length: BigInt(size),
    });
    try {
      this.iommufd.call(
        `ask where IOVA ${hex(iova)} lies`,
        IOMMU_IOAS_NOIOMMU_GET_PA,
        argument,
      );
    } catch (error) {
      const { cause } = error as Error;
      throw hasErrno(cause, "ENOENT") ? nothingAt(iova, cause) : error;
    }
    const { out_phys, length } = layout.decode(argument);
    return { address: out_phys, length: Number(length) };
  }

  /** Whether page tables may have large pages; they may by default. */
  get hugePages(): boolean {
    return getOption(this.iommufd, IOMMU_OPTION_HUGE_PAGES, this.id) !== 0n;
  }

  /**
   * Allows or forbids large pages. Without them each page of 4 KiB is mapped,
   * and told of by dirty tracking, by itself.
   *
   * @throws {VfioError} `IN_USE` while it has a page table and mappings.
   */
  set hugePages(allowed: boolean) {
    try {
      setOption(this.iommufd, IOMMU_OPTION_HUGE_PAGES, allowed, this.id);
    } catch (error) {
      const { cause } = error as Error;
      if (!hasErrno(cause, "EINVAL", "EADDRINUSE")) throw error;
      throw new VfioError("IN_USE", {
        problem: `${this.name} has mappings, which large pages serve already`,
        hint: "choose before anything is mapped",
        cause,
      });
    }
  }
}

function unmapRefused(
  iova: bigint,
  size: number | bigint,
  cause: unknown,
): unknown {
  const range = `${size} bytes at IOVA ${hex(iova)}`;
  if (hasErrno(cause, "ENOENT")) {
    return new VfioError("IOVA_OUT_OF_RANGE", {
      problem: `cannot unmap ${range}: nothing is mapped there, or a mapping ` +
        "lies there in part",
      hint: "unmap whole mappings",
      cause,
    });
  }
  if (!hasErrno(cause, "EBUSY", "EDEADLOCK")) {
    return toVfioError(cause, `unmap ${range}`);
  }
  return new VfioError("IN_USE", {
    problem: `cannot unmap ${range}: the IOMMU or a mediated device uses it`,
    hint: "destroy the hardware queues in it first",
    cause,
  });
}

function nothingAt(iova: bigint, cause: unknown): VfioError {
  return new VfioError("IOVA_OUT_OF_RANGE", {
    problem: `nothing is mapped at IOVA ${hex(iova)}`,
    cause,
  });
}
