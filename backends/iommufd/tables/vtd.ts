import {
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  iommu_hwpt_vtd_s1,
  iommu_hwpt_vtd_s1_invalidate,
  IOMMU_VTD_INV_FLAGS_LEAF,
  IOMMU_VTD_S1_EAFE,
  IOMMU_VTD_S1_SRE,
  IOMMU_VTD_S1_WPE,
} from "../../../lib/uapi/iommufd/hwpt.ts";
import type { DriverData } from "../core/driver_data.ts";
import type { Invalidations } from "./invalidate.ts";

/** A guest's first-stage page table of Intel VT-d. */
export interface VtdFirstStage {
  /** Its address in the guest's memory, in bytes. */
  readonly address: bigint;
  /** How many bits its addresses have. */
  readonly addressBits: number;
  /** Whether it serves supervisor requests. Default: no. */
  readonly supervisor?: boolean;
  /** Whether it has an extended access flag. Default: no. */
  readonly extendedAccess?: boolean;
  /** Whether read-only pages are so for supervisors too. Default: no. */
  readonly writeProtect?: boolean;
}

/** Addresses whose translation changed. */
export interface VtdInvalidation {
  /** The first address, in bytes. */
  readonly address: bigint;
  /** How many pages of 4 KiB; 2⁶⁴-1 from address 0 on for all. */
  readonly pages: bigint;
  /** Whether only entries for pages changed. Default: no. */
  readonly leafOnly?: boolean;
}

/**
 * The data of a nested page table of Intel VT-d (`iommu_hwpt_vtd_s1`).
 *
 * @param table Where the guest has it.
 */
export function vtdFirstStage(table: VtdFirstStage): DriverData {
  const { supervisor, extendedAccess, writeProtect } = table;
  const flags = (supervisor ? IOMMU_VTD_S1_SRE : 0) |
    (extendedAccess ? IOMMU_VTD_S1_EAFE : 0) |
    (writeProtect ? IOMMU_VTD_S1_WPE : 0);
  return {
    type: IOMMU_HWPT_DATA_VTD_S1,
    bytes: iommu_hwpt_vtd_s1.alloc({
      flags: BigInt(flags),
      pgtbl_addr: table.address,
      addr_width: table.addressBits,
    }),
  };
}

/**
 * Invalidations of a nested page table of Intel VT-d
 * (`iommu_hwpt_vtd_s1_invalidate`).
 *
 * @param changed The addresses.
 */
export function vtdInvalidations(
  changed: readonly VtdInvalidation[],
): Invalidations {
  const layout = iommu_hwpt_vtd_s1_invalidate;
  const bytes = new Uint8Array(changed.length * layout.size);
  for (const [i, { address, pages, leafOnly }] of changed.entries()) {
    layout.encode(bytes, {
      addr: address,
      npages: pages,
      flags: leafOnly ? IOMMU_VTD_INV_FLAGS_LEAF : 0,
    }, i * layout.size);
  }
  return {
    type: IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
    bytes,
    entrySize: layout.size,
  };
}
