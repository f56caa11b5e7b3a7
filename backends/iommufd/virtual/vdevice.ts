import { VfioError } from "../../../lib/errors.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import {
  IOMMU_VDEVICE_ALLOC,
  iommu_vdevice_alloc,
} from "../../../lib/uapi/iommufd/viommu.ts";
import type { IommufdDevice } from "../core/device.ts";
import { IommufdObject } from "../core/object.ts";
import type { Viommu } from "./viommu.ts";

/**
 * A device as a guest's IOMMU knows it. It goes with the device: the kernel
 * would never give its number to another object otherwise.
 */
export class Vdevice extends IommufdObject {
  /** The device. */
  readonly device: IommufdDevice;
  /** Its id in the guest's IOMMU. */
  readonly virtualId: bigint;

  private constructor(
    id: number,
    viommu: Viommu,
    device: IommufdDevice,
    virtualId: bigint,
  ) {
    super(viommu.iommufd, "virtual device", id, [viommu]);
    this.device = device;
    this.virtualId = virtualId;
    device.addPart(this);
  }

  /**
   * Makes one. A device has one at most, and a guest's id is one device's.
   *
   * @param viommu The guest's IOMMU.
   * @param device The device, behind the physical IOMMU of that.
   * @param virtualId Its id in the guest's IOMMU: a stream id, for example.
   * @throws {VfioError} `IN_USE` where the device or the id has one,
   * `NOT_SUPPORTED` for a device behind another IOMMU; `NO_MEMORY`, `DETACHED`,
   * `KERNEL`.
   */
  static allocate(
    viommu: Viommu,
    device: IommufdDevice,
    virtualId: bigint,
  ): Vdevice {
    const { iommufd } = device;
    viommu.assertIn(iommufd);
    const argument = iommu_vdevice_alloc.alloc({
      viommu_id: viommu.id,
      dev_id: device.id,
      virt_id: virtualId,
    });
    try {
      iommufd.call(
        "allocate a virtual device",
        IOMMU_VDEVICE_ALLOC,
        argument,
        device.name,
      );
    } catch (error) {
      throw explain(viommu, device, virtualId, error);
    }
    const { out_vdevice_id } = iommu_vdevice_alloc.decode(argument);
    return new Vdevice(out_vdevice_id, viommu, device, virtualId);
  }

  /** Tells its device. */
  protected override release(): void {
    this.device.removePart(this);
  }
}

function explain(
  viommu: Viommu,
  device: IommufdDevice,
  virtualId: bigint,
  error: unknown,
): unknown {
  const { cause } = error as Error;
  if (hasErrno(cause, "EEXIST")) {
    return new VfioError("IN_USE", {
      device: device.name,
      problem: `it is a virtual device already, or id ${virtualId} of ` +
        `${viommu.name} is another's`,
      hint: "destroy that virtual device first",
      cause,
    });
  }
  if (!hasErrno(cause, "EINVAL")) return error;
  return new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem: `it is not behind the physical IOMMU of ${viommu.name}`,
    hint: "make a virtual IOMMU for each physical one",
    cause,
  });
}
