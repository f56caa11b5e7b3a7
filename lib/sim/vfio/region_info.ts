import {
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
  vfio_device_info_cap_pci_atomic_comp,
  vfio_info_cap_header,
  VFIO_PCI_ATOMIC_COMP128,
  VFIO_PCI_ATOMIC_COMP32,
  VFIO_PCI_ATOMIC_COMP64,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_TYPE,
  vfio_region_info_cap_type,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from "../../uapi/vfio/all.ts";
import { type Bar, type DeviceModel, msixBar } from "../models/model.ts";
import type { PciCore } from "../pci/core.ts";
import type { RomWindow } from "../pci/rom_window.ts";
import { VGA_BYTES } from "../pci/vga_ports.ts";
import type { InfoCapability } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";

/** What is read and written. */
export type Accessed = Pick<Bar, "read" | "size" | "write">;

/** What vfio-pci says of a region. */
export interface SimRegionInfo {
  /** `VFIO_REGION_INFO_FLAG_*`. */
  readonly flags: number;
  /** Bytes in it. */
  readonly size: number;
  /** Its capabilities. */
  readonly capabilities: readonly InfoCapability[];
}

const NO_REGION: SimRegionInfo = { flags: 0, size: 0, capabilities: [] };

const ATOMICS = {
  32: VFIO_PCI_ATOMIC_COMP32,
  64: VFIO_PCI_ATOMIC_COMP64,
  128: VFIO_PCI_ATOMIC_COMP128,
} as const;

/**
 * Returns what vfio-pci says of a region. EINVAL where it has none
 * (`vfio_pci_ioctl_get_region_info()` in `vfio_pci_core.c`).
 */
export function regionInfo(
  { model, config }: PciCore,
  index: number,
  rom: RomWindow | undefined,
  hasVga: boolean,
): SimRegionInfo {
  if (index >= VFIO_PCI_NUM_REGIONS) return addedRegion(model, index);
  const both = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  if (index === VFIO_PCI_VGA_REGION_INDEX) {
    if (!hasVga) refuse("EINVAL");
    return { ...NO_REGION, flags: both, size: VGA_BYTES };
  }
  if (index === VFIO_PCI_ROM_REGION_INDEX) {
    const flags = rom === undefined ? 0 : VFIO_REGION_INFO_FLAG_READ;
    return { ...NO_REGION, flags, size: rom?.size ?? 0 };
  }
  const bar = model.bars[index];
  const size = index === VFIO_PCI_CONFIG_REGION_INDEX
    ? config.size
    : bar?.size ?? 0;
  if (size === 0) return NO_REGION;
  const msix = bar?.mappable && index === msixBar(model);
  const capabilities: InfoCapability[] = msix
    ? [{
      id: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
      bytes: vfio_info_cap_header.alloc(),
    }]
    : [];
  const flags = both |
    (bar?.mappable ? VFIO_REGION_INFO_FLAG_MMAP : 0) |
    (msix ? VFIO_REGION_INFO_FLAG_CAPS : 0);
  return { flags, size, capabilities };
}

function addedRegion(model: DeviceModel, index: number): SimRegionInfo {
  const region = model.addedRegions?.[index - VFIO_PCI_NUM_REGIONS] ??
    refuse("EINVAL");
  const { type, subtype, size, writable = false } = region;
  const flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_CAPS |
    (writable ? VFIO_REGION_INFO_FLAG_WRITE : 0);
  const bytes = vfio_region_info_cap_type.alloc({ type, subtype });
  const capabilities = [{ id: VFIO_REGION_INFO_CAP_TYPE, bytes }];
  return { flags, size, capabilities };
}

/** A ROM, as reads access it: ones behind its images. */
export function readableRom({ size, images }: RomWindow): Accessed {
  return {
    size,
    read(offset, width) {
      let value = 0n;
      for (let i = width - 1; i >= 0; i--) {
        value = value << 8n | BigInt(images[offset + i] ?? 0xff);
      }
      return value;
    },
    write: () => refuse("EINVAL"),
  };
}

/** Returns what vfio-pci says of a function (`vfio_pci_info_atomic_cap()`). */
export function deviceCapabilities(
  { atomics = [] }: DeviceModel,
): InfoCapability[] {
  if (atomics.length === 0) return [];
  const flags = atomics.reduce<number>((set, bits) => set | ATOMICS[bits], 0);
  return [{
    id: VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
    bytes: vfio_device_info_cap_pci_atomic_comp.alloc({ flags }),
  }];
}
