import { KernelError } from "../../../lib/kernel/errno.ts";
import {
  IOMMU_GET_HW_INFO,
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_CAP_PCI_PASID_EXEC,
  IOMMU_HW_CAP_PCI_PASID_PRIV,
  iommu_hw_info,
  iommu_hw_info_arm_smmuv3,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
  iommu_hw_info_vtd,
} from "../../../lib/uapi/iommufd/hw_info.ts";
import type { IommufdFile } from "./iommufd_file.ts";
import { refused } from "./refusal.ts";

/** A kind of IOMMU that iommufd tells of. */
export type IommuKind =
  | "none"
  | "intel-vtd"
  | "arm-smmuv3"
  | "tegra241-cmdqv"
  | "amd";

const KINDS: ReadonlyMap<number, IommuKind> = new Map([
  [IOMMU_HW_INFO_TYPE_NONE, "none"],
  [IOMMU_HW_INFO_TYPE_INTEL_VTD, "intel-vtd"],
  [IOMMU_HW_INFO_TYPE_ARM_SMMUV3, "arm-smmuv3"],
  [IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV, "tegra241-cmdqv"],
  [IOMMU_HW_INFO_TYPE_AMD, "amd"],
]);

/** What the IOMMU behind a device can do. */
export interface HardwareInfo {
  /** Its kind; a number where this library has no name for it. */
  readonly kind: IommuKind | number;
  /**
   * What the kernel tells of a kind, as bytes: `iommu_hw_info_vtd` and its like
   * of `@passthru/vfio/uapi` decode it.
   */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Whether it logs which pages the device writes. */
  readonly dirtyTracking: boolean;
  /**
   * Whether a guest's page tables can be nested in its own, as far as its
   * registers say: Intel's nest where the kernel uses their scalable mode
   * (`intel_iommu=sm_on`). `undefined` where they do not say it.
   */
  readonly nesting: boolean | undefined;
  /** How many PASIDs the device has; 0 for none. */
  readonly pasids: number;
  /** Whether requests with a PASID may ask to execute. */
  readonly pasidExecute: boolean;
  /** Whether requests with a PASID may ask with privilege. */
  readonly pasidPrivileged: boolean;
  /** Whether the device may use address translation services (ATS). */
  readonly ats: boolean;
}

/** More than any kind has to tell so far, in bytes. */
const ROOM = 256;

/**
 * Asks what the IOMMU behind a device can do (`IOMMU_GET_HW_INFO`).
 *
 * @param iommufd The iommufd that the device is bound to.
 * @param device The device's number there, and its name.
 * @param wanted The kind that is wanted, as one of `IOMMU_HW_INFO_TYPE_*`, where
 * an IOMMU is of several (Linux 7.3). Default: the one that its driver prefers.
 * @throws {VfioError} `NOT_SUPPORTED` for a device without an IOMMU, or for
 * another kind than it is of; `KERNEL`.
 */
export function readHardwareInfo(
  iommufd: IommufdFile,
  device: { readonly id: number; readonly name: string },
  wanted?: number,
): HardwareInfo {
  const data = new Uint8Array(ROOM);
  const argument = iommu_hw_info.alloc({
    dev_id: device.id,
    data_len: data.length,
    data_uptr: iommufd.kernel.addressOf(data),
    ...wanted === undefined
      ? {}
      : { flags: IOMMU_HW_INFO_FLAG_INPUT_TYPE, in_data_type: wanted },
  });
  iommufd.assertOpen();
  try {
    iommufd.fd.ioctl(IOMMU_GET_HW_INFO, argument);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw refused(error, "ask what its IOMMU can do", device.name);
  }
  const { out_data_type, data_len, out_max_pasid_log2, out_capabilities } =
    iommu_hw_info.decode(argument);
  const has = (capability: number) =>
    (out_capabilities & BigInt(capability)) !== 0n;
  const kind = KINDS.get(out_data_type) ?? out_data_type;
  const told = data.slice(0, Math.min(data_len, ROOM));
  return {
    kind,
    data: told,
    nesting: nestingOf(kind, told),
    dirtyTracking: has(IOMMU_HW_CAP_DIRTY_TRACKING),
    pasids: out_max_pasid_log2 === 0 ? 0 : 2 ** out_max_pasid_log2,
    pasidExecute: has(IOMMU_HW_CAP_PCI_PASID_EXEC),
    pasidPrivileged: has(IOMMU_HW_CAP_PCI_PASID_PRIV),
    ats: !has(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED),
  };
}

/** SMTS and NEST of an Intel IOMMU's extended capabilities. */
const ECAP_NESTS = 1n << 43n | 1n << 26n;
/** COHACC, S1P and S2P of an SMMUv3's IDR0. */
const IDR0_NESTS = 1 << 4 | 1 << 1 | 1 << 0;

/**
 * Whether an IOMMU's registers say that it nests: `nested_supported()` in
 * `drivers/iommu/intel/iommu.h`, `ARM_SMMU_FEAT_NESTING` in
 * `drivers/iommu/arm/arm-smmu-v3/`.
 */
function nestingOf(
  kind: HardwareInfo["kind"],
  data: Uint8Array,
): boolean | undefined {
  if (kind === "intel-vtd" && data.length >= iommu_hw_info_vtd.size) {
    const { ecap_reg } = iommu_hw_info_vtd.decode(data);
    return (ecap_reg & ECAP_NESTS) === ECAP_NESTS;
  }
  if (kind === "arm-smmuv3" && data.length >= iommu_hw_info_arm_smmuv3.size) {
    const { idr } = iommu_hw_info_arm_smmuv3.decode(data);
    return (idr[0]! & IDR0_NESTS) === IDR0_NESTS;
  }
  return undefined;
}
