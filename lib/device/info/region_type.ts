import {
  VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD,
  VFIO_REGION_SUBTYPE_CCW_CRW,
  VFIO_REGION_SUBTYPE_CCW_SCHIB,
  VFIO_REGION_SUBTYPE_GFX_EDID,
  VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG,
  VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG,
  VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION,
  VFIO_REGION_TYPE_CCW,
  VFIO_REGION_TYPE_GFX,
  VFIO_REGION_TYPE_PCI_VENDOR_TYPE,
} from "../../uapi/vfio/region.ts";
import {
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
} from "../../uapi/vfio/pci.ts";
import { VFIO_CCW_CONFIG_REGION_INDEX } from "../../uapi/vfio/device.ts";
import type { DeviceApi } from "./device_info.ts";

/** The types of regions that are known by name. */
export type RegionTypeName =
  | "ccw-async-commands"
  | "ccw-reports"
  | "ccw-schib"
  | "edid"
  | "intel-host-config"
  | "intel-lpc-config"
  | "intel-opregion";

/** The type of a region that a driver adds (`VFIO_REGION_INFO_CAP_TYPE`). */
export interface RegionType {
  /**
   * `VFIO_REGION_TYPE_*`; with `VFIO_REGION_TYPE_PCI_VENDOR_TYPE` set, the
   * rest of it is a PCI vendor id.
   */
  readonly type: number;
  /** `VFIO_REGION_SUBTYPE_*`, whose meaning depends on the type. */
  readonly subtype: number;
}

const INTEL = (VFIO_REGION_TYPE_PCI_VENDOR_TYPE | 0x8086) >>> 0;

const TYPES: Readonly<Record<RegionTypeName, RegionType>> = {
  "ccw-async-commands": {
    type: VFIO_REGION_TYPE_CCW,
    subtype: VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD,
  },
  "ccw-reports": {
    type: VFIO_REGION_TYPE_CCW,
    subtype: VFIO_REGION_SUBTYPE_CCW_CRW,
  },
  "ccw-schib": {
    type: VFIO_REGION_TYPE_CCW,
    subtype: VFIO_REGION_SUBTYPE_CCW_SCHIB,
  },
  "edid": {
    type: VFIO_REGION_TYPE_GFX,
    subtype: VFIO_REGION_SUBTYPE_GFX_EDID,
  },
  "intel-host-config": {
    type: INTEL,
    subtype: VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG,
  },
  "intel-lpc-config": {
    type: INTEL,
    subtype: VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG,
  },
  "intel-opregion": {
    type: INTEL,
    subtype: VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION,
  },
};

const FIXED: Readonly<
  Partial<Record<DeviceApi, Readonly<Record<number, string>>>>
> = {
  pci: {
    ...Object.fromEntries([0, 1, 2, 3, 4, 5].map((i) => [i, `BAR ${i}`])),
    [VFIO_PCI_ROM_REGION_INDEX]: "ROM",
    [VFIO_PCI_CONFIG_REGION_INDEX]: "config",
    [VFIO_PCI_VGA_REGION_INDEX]: "VGA",
  },
  ccw: { [VFIO_CCW_CONFIG_REGION_INDEX]: "I/O" },
};

/** Returns the numbers of a type of regions. */
export function regionTypeNamed(name: RegionTypeName): RegionType {
  return TYPES[name];
}

/** Whether two types of regions are the same. */
export function isSameRegionType(
  a: RegionType | undefined,
  b: RegionType,
): boolean {
  return a?.type === b.type && a.subtype === b.subtype;
}

/**
 * Names a region for people: `"BAR 0"`, `"config"`, `"intel-opregion"`, or
 * `"region 9"` where nothing better is known.
 *
 * @param api What its device is used as.
 * @param index Its number.
 * @param type Its type, if it has one.
 */
export function regionName(
  api: DeviceApi | undefined,
  index: number,
  type: RegionType | undefined,
): string {
  const fixed = api && FIXED[api]?.[index];
  if (fixed !== undefined) return fixed;
  const names = Object.keys(TYPES) as RegionTypeName[];
  return names.find((name) => isSameRegionType(type, TYPES[name])) ??
    `region ${index}`;
}
