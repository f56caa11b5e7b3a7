import {
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
} from "../../../lib/uapi/iommufd/hwpt.ts";
import type { IommufdDevice } from "../core/device.ts";
import type { DriverData } from "../core/driver_data.ts";
import { IommufdObject } from "../core/object.ts";
import type { FaultQueue } from "../queues/fault_queue.ts";
import type { Viommu } from "../virtual/viommu.ts";
import { allocateHwpt } from "./allocate_hwpt.ts";
import type { Hwpt } from "./hwpt.ts";
import { invalidate, type Invalidations } from "./invalidate.ts";

/** What a nested page table can do. */
export interface NestedHwptOptions {
  /** Gets the page requests of its devices. */
  readonly faultQueue?: FaultQueue;
  /**
   * Whether PASIDs can be attached to it (Linux 6.15).
   *
   * @default {false}
   */
  readonly pasid?: boolean;
}

/**
 * A page table that a guest keeps in its own memory, over one that translates
 * that memory's addresses.
 *
 * @example A first-stage table of Intel VT-d
 * ```ts
 * import type { Hwpt, IommufdDevice } from "@passthru/vfio/iommufd";
 * import { NestedHwpt, vtdFirstStage } from "@passthru/vfio/iommufd";
 *
 * function nest(device: IommufdDevice, parent: Hwpt, address: bigint) {
 *   const data = vtdFirstStage({ address, addressBits: 48 });
 *   const table = NestedHwpt.allocate(device, parent, data);
 *   device.attach(table);
 *   return table;
 * }
 * ```
 */
export class NestedHwpt extends IommufdObject {
  /** What it is nested in. */
  readonly parent: Hwpt | Viommu;
  /** What it can do. */
  readonly options: NestedHwptOptions;

  private constructor(
    id: number,
    parent: Hwpt | Viommu,
    options: NestedHwptOptions,
  ) {
    const { faultQueue } = options;
    super(
      parent.iommufd,
      "nested page table",
      id,
      faultQueue === undefined ? [parent] : [parent, faultQueue],
    );
    this.parent = parent;
    this.options = options;
  }

  /**
   * Makes one. No device is attached to it yet.
   *
   * @param device A device that it suits.
   * @param parent A page table that was allocated with `{ nestParent: true }`,
   * or a virtual IOMMU in one, as the device's IOMMU demands.
   * @param data Where the guest has it: {@linkcode vtdFirstStage} makes that of
   * Intel's.
   * @param options What it can do.
   * @throws {VfioError} `NOT_SUPPORTED` where the IOMMU cannot nest, or not in
   * this parent, or takes other data; `NO_MEMORY`, `DETACHED`, `KERNEL`.
   */
  static allocate(
    device: IommufdDevice,
    parent: Hwpt | Viommu,
    data: DriverData,
    options: NestedHwptOptions = {},
  ): NestedHwpt {
    const { faultQueue, pasid } = options;
    const id = allocateHwpt(device, parent, {
      flags: (faultQueue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID) |
        (pasid ? IOMMU_HWPT_ALLOC_PASID : 0),
      faultQueue,
      data,
    });
    return new NestedHwpt(id, parent, options);
  }

  /** Whether PASIDs can be attached to it. */
  get takesPasids(): boolean {
    return this.options.pasid === true;
  }

  /**
   * Drops from the IOMMU's caches what the guest has changed.
   *
   * @param requests What to drop: {@linkcode vtdInvalidations} makes those of
   * Intel's.
   * @throws {InvalidationError} If the IOMMU refuses one. It says how many were
   * carried out.
   */
  invalidate(requests: Invalidations): void {
    invalidate(this, requests);
  }
}
