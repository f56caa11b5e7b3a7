/**
 * Devices that no IOMMU isolates: a container of theirs translates nothing
 * (`drivers/vfio/container.c`, `vfio_noiommu_ops`), and pins nothing either.
 *
 * @module
 */

import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { VFIO_NOIOMMU_IOMMU } from "../../lib/uapi/vfio/container.ts";
import type { AttachTarget } from "../backend.ts";
import type { ContainerIommu, IommuDriver } from "../legacy/container.ts";
import { readPagemap } from "./pagemap.ts";
import { rawIoMissing } from "./permission.ts";

/** The driver behind containers of devices without an IOMMU. */
export const NO_IOMMU: IommuDriver = {
  types: [VFIO_NOIOMMU_IOMMU],
  open: withoutIommu,
  missing({ device }: AttachTarget): VfioError {
    return new VfioError("BACKEND_UNAVAILABLE", {
      device: device.name,
      problem: "the kernel's VFIO takes no devices without an IOMMU",
      hint: "allow it: " +
        "echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
    });
  },
  // vfio_container_attach_group() in drivers/vfio/container.c
  refused({ device }: AttachTarget, cause: unknown): VfioError | undefined {
    return hasErrno(cause, "EPERM")
      ? rawIoMissing(cause, device.name)
      : undefined;
  },
};

/** There is nothing to map: the memory is where devices find it. */
function withoutIommu(kernel: Kernel): ContainerIommu {
  return {
    map() {},
    async mapAsync() {},
    unmap() {},
    unmapAll() {},
    physical: (range, offset) => readPagemap(kernel, range, offset),
    limits: () => ({
      ranges: [],
      alignment: BigInt(kernel.pageSize),
      mappingsAvailable: undefined,
    }),
  };
}
