import { VfioError } from "../../../lib/errors.ts";
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
} from "../../../lib/uapi/iommufd/hwpt.ts";
import { allocateHwpt } from "./allocate_hwpt.ts";
import type { IommufdDevice } from "../core/device.ts";
import { type BitmapTarget, readDirty, setDirtyTracking } from "./dirty.ts";
import type { FaultQueue } from "../queues/fault_queue.ts";
import type { Ioas } from "../ioas/ioas.ts";
import { IommufdObject } from "../core/object.ts";

/** What a page table can do beside translating. */
export interface HwptOptions {
  /**
   * Whether a guest's page tables can be nested in it.
   *
   * @default {false}
   */
  readonly nestParent?: boolean;
  /**
   * Whether it can log which pages devices write. It takes only devices whose
   * IOMMU can.
   *
   * @default {false}
   */
  readonly dirtyTracking?: boolean;
  /** Gets the page requests of its devices. Not together with `nestParent`. */
  readonly faultQueue?: FaultQueue;
  /**
   * Whether PASIDs can be attached to it, and devices with such (Linux 6.15).
   *
   * @default {false}
   */
  readonly pasid?: boolean;
}

/**
 * A page table of an IOMMU with what an IOAS has mapped (HWPT,
 * `drivers/iommu/iommufd/hw_pagetable.c`). It suits the IOMMU of one device, and
 * others like it.
 *
 * @example Which pages a device writes
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { Hwpt } from "@passthru/vfio/iommufd";
 *
 * await using space = new AddressSpace({ backend: "iommufd" });
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * const memory = space.allocate(2 ** 20);
 * const { ioas, find } = await space.iommufd();
 * const bound = find(device);
 * if (bound.hardwareInfo().dirtyTracking) {
 *   const table = Hwpt.allocate(bound, ioas, { dirtyTracking: true });
 *   bound.attach(table);
 *   table.setDirtyTracking(true);
 *   const bitmap = new Uint8Array(memory.size / 4096 / 8);
 *   table.readDirty(memory.iova, memory.size, 4096, bitmap);
 * }
 * ```
 */
export class Hwpt extends IommufdObject {
  /** The IOAS whose mappings it has. */
  readonly ioas: Ioas;
  /** What it can do. */
  readonly options: HwptOptions;
  #tracking = false;

  private constructor(id: number, ioas: Ioas, options: HwptOptions) {
    const { faultQueue } = options;
    super(
      ioas.iommufd,
      "page table",
      id,
      faultQueue === undefined ? [ioas] : [ioas, faultQueue],
    );
    this.ioas = ioas;
    this.options = options;
  }

  /**
   * Makes one, with everything that is mapped, and pins that. No device is
   * attached to it yet: {@linkcode IommufdDevice.attach}.
   *
   * @param device A device that it suits.
   * @param ioas The IOAS.
   * @param options What it can do.
   * @throws {VfioError} `NOT_SUPPORTED` where the IOMMU lacks what is asked for;
   * `NO_MEMORY`, `IOVA_OUT_OF_RANGE` where something is mapped that the IOMMU
   * cannot translate, `DETACHED`, `KERNEL`.
   */
  static allocate(
    device: IommufdDevice,
    ioas: Ioas,
    options: HwptOptions = {},
  ): Hwpt {
    const { nestParent, dirtyTracking, faultQueue, pasid } = options;
    if (nestParent && faultQueue !== undefined) {
      throw new TypeError(
        "Cannot nest page tables in one with a fault queue: give that to the " +
          "nested one",
      );
    }
    const id = allocateHwpt(device, ioas, {
      flags: (nestParent ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) |
        (dirtyTracking ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
        (faultQueue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID) |
        (pasid ? IOMMU_HWPT_ALLOC_PASID : 0),
      faultQueue,
    });
    return new Hwpt(id, ioas, options);
  }

  /**
   * Attaches a device to the first page table of an IOAS that suits it and can
   * do what is asked for, and to a new one where none does: the page table of
   * several devices, as far as they have the same IOMMU.
   *
   * @param device The device.
   * @param ioas The IOAS.
   * @param options What the page table can do.
   * @returns The page table.
   * @throws {VfioError} As {@linkcode Hwpt.allocate} and
   * {@linkcode IommufdDevice.attach}. No new page table is left then.
   */
  static attach(
    device: IommufdDevice,
    ioas: Ioas,
    options: HwptOptions = {},
  ): Hwpt {
    for (const table of ioas.keepers) {
      if (!(table instanceof Hwpt) || !sameOptions(table.options, options)) {
        continue;
      }
      try {
        device.attach(table);
        return table;
      } catch (error) {
        if (!isUnsuitable(error)) throw error;
      }
    }
    const table = Hwpt.allocate(device, ioas, options);
    try {
      device.attach(table);
      return table;
    } catch (error) {
      table.destroy();
      throw error;
    }
  }

  /** Whether PASIDs can be attached to it. */
  get takesPasids(): boolean {
    return this.options.pasid === true;
  }

  /** Whether it logs which pages devices write. */
  get dirtyTracking(): boolean {
    return this.#tracking;
  }

  /**
   * Starts or stops logging which pages devices write. Each start, also of what
   * is started, forgets what was logged.
   *
   * @param on Whether it logs.
   * @throws {VfioError} `NOT_SUPPORTED` where it was made without that;
   * `DETACHED`, `KERNEL`.
   */
  setDirtyTracking(on: boolean): void {
    setDirtyTracking(this.iommufd, this.id, on);
    this.#tracking = on;
  }

  /**
   * Marks the pages that devices have written since the last read that has not
   * kept them: bit 0 of the bitmap is the page at `iova`. Other bits stay as
   * they are.
   *
   * @param iova The first IOVA, of a range without holes: the kernel stops at
   * the first one, and says nothing.
   * @param size How many bytes.
   * @param pageSize What a bit stands for, in bytes, a power of two.
   * @param bitmap Gets the bits.
   * @param options Whether the pages stay written.
   * @throws {RangeError} If the range is not whole pages, or the bitmap too
   * short.
   * @throws {VfioError} `NOT_SUPPORTED` while it is not logging; `DETACHED`,
   * `KERNEL`.
   */
  readDirty(
    iova: bigint,
    size: number | bigint,
    pageSize: number,
    bitmap: BitmapTarget,
    { keep = false }: { readonly keep?: boolean } = {},
  ): void {
    const hwpt = this.id;
    // The kernel would answer that nothing was written.
    if (!this.#tracking) {
      throw new VfioError("NOT_SUPPORTED", {
        problem: `${this.name} does not log which pages are written`,
        hint: "start that before: setDirtyTracking(true)",
      });
    }
    readDirty(this.iommufd, {
      hwpt,
      iova,
      size: BigInt(size),
      pageSize,
      bitmap,
      keep,
    });
  }
}

function sameOptions(a: HwptOptions, b: HwptOptions): boolean {
  return (a.nestParent ?? false) === (b.nestParent ?? false) &&
    (a.dirtyTracking ?? false) === (b.dirtyTracking ?? false) &&
    (a.pasid ?? false) === (b.pasid ?? false) &&
    a.faultQueue === b.faultQueue;
}

function isUnsuitable(error: unknown): boolean {
  return error instanceof VfioError && error.code === "NOT_SUPPORTED";
}
