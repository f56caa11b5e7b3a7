import type { Fd } from "../../lib/kernel/fd.ts";
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_detach_iommufd_pt,
  VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
  VFIO_DEVICE_DETACH_PASID,
} from "../../lib/uapi/vfio/cdev.ts";

/**
 * Attaches a device, in place of what it is attached to.
 *
 * @param fd The device.
 * @param id The number of a page table or of an IOAS.
 * @param pasid One of its PASIDs; default: the device itself.
 * @returns The number of the page table.
 */
export function attachTo(fd: Fd, id: number, pasid?: number): number {
  const layout = vfio_device_attach_iommufd_pt;
  const argument = layout.alloc(
    pasid === undefined
      ? { argsz: VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID, pt_id: id }
      : { flags: VFIO_DEVICE_ATTACH_PASID, pt_id: id, pasid },
  );
  fd.ioctl(VFIO_DEVICE_ATTACH_IOMMUFD_PT, argument);
  return layout.decode(argument).pt_id;
}

/** Detaches a device, or one of its PASIDs. */
export function detachFrom(fd: Fd, pasid?: number): void {
  const argument = vfio_device_detach_iommufd_pt.alloc(
    pasid === undefined
      ? { argsz: VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID }
      : { flags: VFIO_DEVICE_DETACH_PASID, pasid },
  );
  fd.ioctl(VFIO_DEVICE_DETACH_IOMMUFD_PT, argument);
}
