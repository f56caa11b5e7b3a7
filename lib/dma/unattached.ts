import type { IommuLimits, IovaRange } from "../../backends/backend.ts";

/**
 * Where an interrupt message is written to, which no IOMMU translates: by
 * `arch/x86/include/asm/iommu.h` and `drivers/iommu/arm/`.
 */
const MSI_WINDOW: IovaRange = Deno.build.arch === "aarch64"
  ? { start: 0x800_0000n, last: 0x80f_ffffn }
  : { start: 0xfee0_0000n, last: 0xfeef_ffffn };

/**
 * What is mapped before a device is attached: every IOMMU that VFIO drives has
 * 39 bits or more, and translates all but the window for interrupts. A device
 * with another reserved window at a mapping made meanwhile is refused.
 */
export const UNATTACHED: IommuLimits = {
  ranges: [
    { start: 0n, last: MSI_WINDOW.start - 1n },
    { start: MSI_WINDOW.last + 1n, last: (1n << 39n) - 1n },
  ],
  alignment: 4096n,
  mappingsAvailable: undefined,
};
