import { VfioError } from "../../../lib/errors.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import {
  IOMMU_HWPT_ALLOC,
  iommu_hwpt_alloc,
} from "../../../lib/uapi/iommufd/hwpt.ts";
import type { IommufdDevice } from "../core/device.ts";
import type { DriverData } from "../core/driver_data.ts";
import type { IommufdObject } from "../core/object.ts";

/** What a page table is made of. */
export interface HwptRequest {
  /** `IOMMU_HWPT_*`. */
  readonly flags: number;
  /** What gets the page requests of its devices. */
  readonly faultQueue: IommufdObject | undefined;
  /** What only a driver of an IOMMU understands. */
  readonly data?: DriverData;
}

/**
 * Makes a page table (`IOMMU_HWPT_ALLOC`).
 *
 * @param device The device that it suits.
 * @param parent What it translates by: an IOAS, a parent, or a virtual IOMMU.
 * @param request What it is made of.
 * @returns Its number.
 */
export function allocateHwpt(
  device: IommufdDevice,
  parent: IommufdObject,
  { flags, faultQueue, data }: HwptRequest,
): number {
  const { iommufd } = device;
  for (const used of [parent, faultQueue]) used?.assertIn(iommufd);
  const bytes = data?.bytes;
  const argument = iommu_hwpt_alloc.alloc({
    flags,
    dev_id: device.id,
    pt_id: parent.id,
    ...faultQueue === undefined ? {} : { fault_id: faultQueue.id },
    ...data === undefined ? {} : { data_type: data.type },
    ...bytes === undefined ? {} : {
      data_len: bytes.length,
      data_uptr: iommufd.kernel.addressOf(bytes),
    },
  });
  try {
    iommufd.call(
      "allocate a page table",
      IOMMU_HWPT_ALLOC,
      argument,
      device.name,
    );
  } catch (error) {
    throw explain(device, parent, error);
  }
  return iommu_hwpt_alloc.decode(argument).out_hwpt_id;
}

function explain(
  device: IommufdDevice,
  parent: IommufdObject,
  error: unknown,
): unknown {
  const { cause } = error as Error;
  if (hasErrno(cause, "EADDRINUSE", "ERANGE")) {
    return new VfioError("IOVA_OUT_OF_RANGE", {
      device: device.name,
      problem: `${parent.name} has something mapped that its IOMMU cannot ` +
        "translate",
      hint: "unmap that, and map it elsewhere",
      cause,
    });
  }
  if (hasErrno(cause, "EFAULT")) {
    return new VfioError("NO_MEMORY", {
      device: device.name,
      problem: `memory that is mapped in ${parent.name} is not there any more`,
      hint: "unmap memory before it is freed",
      cause,
    });
  }
  if (!hasErrno(cause, "EINVAL")) return error;
  return new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem: `its IOMMU cannot make such a page table of ${parent.name}`,
    hint: "see what device.hardwareInfo() says, and what the data must be",
    cause,
  });
}
