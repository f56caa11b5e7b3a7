import { VfioError } from "../../../lib/errors.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import type { Mapping } from "../../../lib/kernel/kernel.ts";
import {
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../../lib/uapi/linux/mman.ts";
import {
  IOMMU_VIOMMU_ALLOC,
  iommu_viommu_alloc,
} from "../../../lib/uapi/iommufd/viommu.ts";
import type { IommufdDevice } from "../core/device.ts";
import type { DriverData } from "../core/driver_data.ts";
import type { User } from "../core/iommufd_file.ts";
import { IommufdObject } from "../core/object.ts";
import type { Hwpt } from "../tables/hwpt.ts";
import { invalidate, type Invalidations } from "../tables/invalidate.ts";

/**
 * A virtual IOMMU: a guest's slice of a physical one, for the devices behind
 * that (`drivers/iommu/iommufd/viommu.c`, Linux 6.13).
 *
 * @example Give a guest a slice of an ARM SMMUv3
 * ```ts
 * import type { Hwpt, IommufdDevice } from "@passthru/vfio/iommufd";
 * import { Vdevice, Viommu } from "@passthru/vfio/iommufd";
 * import { IOMMU_VIOMMU_TYPE_ARM_SMMUV3 } from "@passthru/vfio/uapi";
 *
 * function virtualize(device: IommufdDevice, parent: Hwpt, streamId: bigint) {
 *   const type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3;
 *   const viommu = Viommu.allocate(device, parent, { type });
 *   Vdevice.allocate(viommu, device, streamId);
 *   return viommu;
 * }
 * ```
 */
export class Viommu extends IommufdObject {
  /** The page table of the guest's memory. */
  readonly parent: Hwpt;

  private constructor(id: number, parent: Hwpt) {
    super(parent.iommufd, "virtual IOMMU", id, [parent]);
    this.parent = parent;
  }

  /**
   * Makes one.
   *
   * @param device A device behind the physical IOMMU.
   * @param parent The page table of the guest's memory, allocated with
   * `{ nestParent: true }`.
   * @param data Its type, and the struct of that type; what the kernel answers
   * is written to that.
   * @throws {VfioError} `NOT_SUPPORTED` where the IOMMU has no such type, or the
   * page table is no such parent; `NO_MEMORY`, `DETACHED`, `KERNEL`.
   */
  static allocate(
    device: IommufdDevice,
    parent: Hwpt,
    data: DriverData,
  ): Viommu {
    const { iommufd } = device;
    parent.assertIn(iommufd);
    const { type, bytes } = data;
    const argument = iommu_viommu_alloc.alloc({
      type,
      dev_id: device.id,
      hwpt_id: parent.id,
      ...bytes === undefined ? {} : {
        data_len: bytes.length,
        data_uptr: iommufd.kernel.addressOf(bytes),
      },
    });
    try {
      iommufd.call(
        "allocate a virtual IOMMU",
        IOMMU_VIOMMU_ALLOC,
        argument,
        device.name,
      );
    } catch (error) {
      const { cause } = error as Error;
      if (!hasErrno(cause, "EINVAL")) throw error;
      throw new VfioError("NOT_SUPPORTED", {
        device: device.name,
        problem: `its IOMMU makes no virtual one over ${parent.name}`,
        hint: "allocate that with { nestParent: true }, for a device behind " +
          "the same IOMMU",
        cause,
      });
    }
    return new Viommu(
      iommu_viommu_alloc.decode(argument).out_viommu_id,
      parent,
    );
  }

  /**
   * Drops from the IOMMU's caches what the guest has changed.
   *
   * @param requests What to drop.
   * @throws {InvalidationError} If the IOMMU refuses one. It says how many were
   * carried out.
   */
  invalidate(requests: Invalidations): void {
    invalidate(this, requests);
  }

  /**
   * Maps registers of the physical IOMMU into this process, as the answer to an
   * allocation has them.
   *
   * @param offset Where they are in the iommufd, in bytes.
   * @param length How many bytes.
   * @returns The registers. They keep the virtual IOMMU until they are unmapped.
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` if the kernel has offered no such
   * range; `DETACHED`, `KERNEL`.
   */
  mapRegisters(offset: bigint, length: bigint): ViommuRegisters {
    this.assertThere();
    const { kernel, fd } = this.iommufd;
    const protection = PROT_READ | PROT_WRITE;
    let mapping: Mapping;
    try {
      mapping = kernel
        .mmap(Number(length), protection, MAP_SHARED, fd.number, offset);
    } catch (error) {
      throw new VfioError("IOVA_OUT_OF_RANGE", {
        problem: `the kernel has no registers of ${this.name} at offset ` +
          `${offset}, ${length} bytes`,
        hint: "take offset and length as the allocation has answered them",
        cause: error,
      });
    }
    return new ViommuRegisters(this, mapping);
  }
}

/** Registers of a physical IOMMU in this process. */
export class ViommuRegisters implements User, Disposable {
  /** What errors call them. */
  readonly name = "its mapped registers";
  readonly #viommu: Viommu;
  readonly #mapping: Mapping;
  #mapped = true;

  /** Made by {@linkcode Viommu.mapRegisters}. */
  constructor(viommu: Viommu, mapping: Mapping) {
    this.#viommu = viommu;
    this.#mapping = mapping;
    viommu.keep(this);
    viommu.iommufd.own(this);
  }

  /** The registers, empty once they are unmapped. */
  get buffer(): ArrayBuffer {
    return this.#mapping.buffer;
  }

  /** Unmaps them. Does nothing once they are unmapped. */
  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    this.#viommu.iommufd.kernel.munmap(this.#mapping);
    this.#viommu.letGo(this);
    this.#viommu.iommufd.disown(this);
  }

  /** @ignore */
  destroy(): void {
    this.unmap();
  }

  /** The same as {@linkcode ViommuRegisters.unmap}. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}
