import { VfioError } from "../../lib/errors.ts";

/**
 * The error for a process without the capability that the kernel asks for
 * wherever a device without an IOMMU is concerned: the nodes, the container and
 * the physical addresses (`capable(CAP_SYS_RAWIO)` in `drivers/vfio/` and in
 * `drivers/iommu/iommufd/ioas.c`).
 *
 * @param cause The kernel's answer.
 * @param device The device, where it is known.
 */
export function rawIoMissing(cause: unknown, device?: string): VfioError {
  return new VfioError("PERMISSION_DENIED", {
    device,
    problem: "only who has CAP_SYS_RAWIO may have a device without an IOMMU",
    hint: "run as root, or give the process that capability",
    cause,
  });
}
