import { hex } from "../../hex.ts";
import type { IommuGroup } from "../device.ts";

/** Why the kernel hands out no device of a group, and what to do about it. */
export interface DirectMapping {
  /** What is wrong, as a clause. */
  readonly problem: string;
  /** What to do next. */
  readonly hint: string;
}

/**
 * Whether the firmware demands memory of its own to stay mapped for a group,
 * Intel's RMRR or AMD's IVMD, which user space then cannot have
 * (`__iommu_device_set_domain()` in `drivers/iommu/iommu.c`; before Linux 6.6
 * `intel_iommu_attach_device()`). What is "relaxable" does not matter.
 *
 * @param group The group.
 * @returns Why it cannot be handed out, or `undefined`.
 */
export function explainDirectMapping(
  group: IommuGroup,
): DirectMapping | undefined {
  const direct = group.reservedRegions.find(({ type }) => type === "direct");
  if (direct === undefined) return undefined;
  const { start, last } = direct;
  return {
    problem: "the firmware keeps memory mapped for its IOMMU group " +
      `(${hex(start)} to ${hex(last)}), and the kernel ` +
      "refuses user space such a group",
    hint: "look in the firmware's set-up for what uses the device before the " +
      "kernel does (pre-boot DMA protection, remote management, RAID), switch " +
      "that off, or update the firmware",
  };
}
