/**
 * Devices that no IOMMU isolates: a container of theirs translates nothing
 * (`drivers/vfio/container.c`, `vfio_noiommu_ops`).
 *
 * @module
 */

import { VfioError } from "../../lib/errors.ts";
import { hex } from "../../lib/hex.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import { VFIO_NOIOMMU_IOMMU } from "../../lib/uapi/vfio/container.ts";
import type { AttachTarget, DmaRange } from "../backend.ts";
import type { ContainerIommu, IommuDriver } from "../legacy/container.ts";

/** The driver behind containers of devices without an IOMMU. */
export const NO_IOMMU: IommuDriver = {
  types: [VFIO_NOIOMMU_IOMMU],
  open: ({ pageSize }) => withoutIommu(pageSize),
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
    if (!hasErrno(cause, "EPERM")) return undefined;
    return new VfioError("PERMISSION_DENIED", {
      device: device.name,
      problem: "only who has CAP_SYS_RAWIO may have a device without an IOMMU",
      hint: "run as root, or give the process that capability",
      cause,
    });
  },
};

function withoutIommu(pageSize: number): ContainerIommu {
  const refuse = ({ bytes, iova }: DmaRange): never => {
    throw new VfioError("NOT_SUPPORTED", {
      problem: `cannot map ${bytes} bytes at IOVA ${hex(iova)}: the device ` +
        "has no IOMMU",
      hint: "unmap everything before attaching a device without an IOMMU",
    });
  };
  return {
    map: refuse,
    mapAsync: (range) => Promise.try(() => refuse(range)),
    unmap() {},
    unmapAll() {},
    limits: () => ({
      ranges: [],
      alignment: BigInt(pageSize),
      mappingsAvailable: undefined,
    }),
  };
}
