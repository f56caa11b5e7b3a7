import {
  IOMMU_OPTION,
  iommu_option,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
} from "../../../lib/uapi/iommufd/options.ts";
import type { IommufdFile } from "./iommufd_file.ts";

/**
 * Asks for an option.
 *
 * @param iommufd The iommufd.
 * @param option One of `IOMMU_OPTION_*`.
 * @param object Whose it is; 0 for the iommufd's.
 */
export function getOption(
  iommufd: IommufdFile,
  option: number,
  object = 0,
): bigint {
  const argument = iommu_option.alloc({
    option_id: option,
    op: IOMMU_OPTION_OP_GET,
    object_id: object,
  });
  iommufd.call("ask for an option", IOMMU_OPTION, argument);
  return iommu_option.decode(argument).val64;
}

/** Sets an option that is on or off. */
export function setOption(
  iommufd: IommufdFile,
  option: number,
  on: boolean,
  object = 0,
): void {
  const argument = iommu_option.alloc({
    option_id: option,
    op: IOMMU_OPTION_OP_SET,
    object_id: object,
    val64: on ? 1n : 0n,
  });
  iommufd.call("set an option", IOMMU_OPTION, argument);
}
